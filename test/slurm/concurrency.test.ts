// Many at once: every task of a wide step, of two jobs, has a container of its own, and none disturbs another.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Daemon, startDaemon, stopDaemons } from '../world/daemon.js'
import { eventually } from '../world/eventually.js'
import { expectNothingLeft, ownLines } from '../world/runs.js'
import { complaints, logSince } from '../world/traces.js'
import { as } from '../world/world.js'

const TASKS = 32
let daemon: Daemon
let slurmdLog: () => string[]
beforeAll(async () => {
  daemon = await startDaemon()
  slurmdLog = logSince('slurmd-n1')
})
afterAll(async () => {
  await stopDaemons()
  await expectNothingLeft()
})

describe('concurrency', () => {
  it('ACCEPTANCE 26: 2 jobs of 32 tasks each, launched at once on one node', async () => {
    const wide = ['-Q', '-p', 'shared', '-O', `-n${TASKS}`, '--mem=1600M', 'hepwrap', 'run']
    const payload = [
      'busybox:test',
      'sh',
      '-c',
      'id -u; echo task $SLURM_PROCID; exec cat /proc/self/cgroup',
    ]
    const results = await Promise.all(
      (['alice', 'bob'] as const).map((user) =>
        as(user).srun([...wide, ...payload], { timeoutMs: 60_000 }),
      ),
    )
    const seen = new Set<string>()
    for (const [index, { status, stdout, stderr }] of results.entries()) {
      expect({ status, stderr: ownLines(stderr) }).toEqual({ status: 0, stderr: [] })
      const lines = stdout.split('\n')
      const ids = lines.filter((line) => /^\d+$/.test(line))
      expect(ids).toEqual(Array(TASKS).fill(String(2001 + index)))
      const tasks = lines.flatMap((line) => /^task (\d+)$/.exec(line)?.[1] ?? []).map(Number)
      expect(tasks.sort((a, b) => a - b)).toEqual([...Array(TASKS).keys()])
      for (const line of lines) if (line.includes(':memory:')) seen.add(line)
    }
    expect(seen.size).toBe(2 * TASKS) // each below its own task
    const records = daemon.ledgerRows()
    expect(records).toHaveLength(2 * TASKS)
    expect(new Set(records.map((row) => row['state']))).toEqual(new Set(['COMPLETED']))
    const places = records.map((row) => [row['job_id'], row['step_id'], row['task']].join())
    expect(new Set(places).size).toBe(2 * TASKS)
    await expectNothingLeft()
    expect(complaints(slurmdLog())).toEqual([])
  }, 90_000)

  it('ACCEPTANCE 26: a wide step is cancelled at once, and nothing of it is left', async () => {
    const run = as('alice').startSrun([
      '-Q',
      '-p',
      'shared',
      '-O',
      '-n16',
      '--mem=1600M',
      'hepwrap',
      'run',
      'busybox:test',
      'sh',
      '-c',
      'echo ready; exec sleep 972',
    ])
    await eventually(() => run.stdoutSoFar() === 'ready\n'.repeat(16), { timeoutMs: 20_000 })
    run.kill('SIGTERM')
    await run.result
    await expectNothingLeft('sleep 972')
    // A record is closed when nothing is left, so a moment later.
    const cancelled = await eventually(() => {
      const rows = daemon
        .ledgerRows()
        .filter((row) => row['command'] === "sh -c 'echo ready; exec sleep 972'")
      return rows.some((row) => row['state'] === 'RUNNING') ? undefined : rows
    })
    expect(cancelled.map((row) => row['state'])).toEqual(Array(16).fill('CANCELLED'))
  })
})
