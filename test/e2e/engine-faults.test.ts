// The engine is down, dies, hangs or comes back: each run ends with a reason, others are served, and nothing stays behind.
import { existsSync } from 'node:fs'
import { afterEach, describe, expect, it } from 'vitest'
import { type ConfigOverrides, type Daemon, startDaemon, stopDaemons } from '../world/daemon.js'
import { eventually, PATIENCE } from '../world/eventually.js'
import { closedRecord, expectNothingLeft, ownLines, recordOf, startStep } from '../world/runs.js'
import { containers, processes } from '../world/traces.js'
import { as, service } from '../world/world.js'

const alice = as('alice')
const loop = 'echo ready; while sleep 0.05; do :; done'
let daemon: Daemon
afterEach(async () => {
  signalEngine('dockerd', 'SIGCONT')
  signalEngine('containerd', 'SIGCONT')
  await service('start', 'dockerd').catch(() => undefined) // it may be there
  await expectNothingLeft(undefined, 15_000)
  await stopDaemons()
})

const start = async (config: ConfigOverrides = {}) => void (daemon = await startDaemon({ config }))
const run = (...args: string[]) => alice.srun(['-Q', 'hepwrap', 'run', ...args])

function signalEngine(program: 'dockerd' | 'containerd', signal: NodeJS.Signals): void {
  for (const { pid } of processes(new RegExp(`^${program} `))) process.kill(pid, signal)
}

async function expectServed() {
  const { status, stdout } = await run('busybox:test', 'echo', 'served')
  expect({ status, stdout }).toEqual({ status: 0, stdout: 'served\n' })
}

describe('the engine', () => {
  it('is down before a run: one line, 125, a record; and the next run finds it again', async () => {
    await start()
    await expectServed()
    await service('stop', 'dockerd')
    const { status, stdout, stderr, durationMs } = await run(
      '--name',
      'down',
      'busybox:test',
      'true',
    )
    expect({ status, stdout }).toEqual({ status: 125, stdout: '' })
    expect(ownLines(stderr)).toEqual([expect.stringMatching(/^hepwrap: .*\(HW_ENGINE_DOWN/)])
    expect(durationMs).toBeLessThan(5000 * PATIENCE)
    expect(recordOf(daemon, 'down')).toMatchObject({
      state: 'FAILED',
      reason: 'HW_ENGINE_DOWN',
      exit_code: 125,
    })
    const refused = await run('--name', 'refused', 'nowhere:1', 'true')
    expect(ownLines(refused.stderr).join()).toContain('HW_IMAGE_REFUSED') // decided without an engine
    const acct = await alice.run(['hepwrap', 'acct'])
    expect(acct.stdout).toContain('HW_ENGINE_DOWN')
    await service('start', 'dockerd')
    await expectServed()
  })

  it('is restarted between two runs, and the second does not notice', async () => {
    await start()
    await expectServed()
    await service('restart', 'dockerd')
    await expectServed()
  })

  it('is down when the daemon starts, which serves as soon as it comes', async () => {
    await service('stop', 'dockerd')
    await start()
    expect((await run('busybox:test', 'true')).status).toBe(125)
    await service('start', 'dockerd')
    await expectServed()
  })

  it('is killed during a run: the payload sees SIGTERM, the client is told, the container goes when it is back', async () => {
    await start()
    const payload = `trap "echo bye >bye.seen; exit 0" TERM; ${loop}`
    const step = startStep(
      'alice',
      `hepwrap run --name killed busybox:test sh -c '${payload}'; echo status $?; cat bye.seen; hold`,
    )
    await eventually(() => step.stdoutSoFar() === 'ready\n')
    await service('kill', 'dockerd')
    await eventually(() => step.stdoutSoFar() === 'ready\nstatus 125\nbye\n', { timeoutMs: 20_000 })
    expect(ownLines(step.stderrSoFar()).join()).toContain('HW_ENGINE_DOWN')
    expect(await closedRecord(daemon, 'killed')).toMatchObject({
      state: 'FAILED',
      reason: 'HW_ENGINE_DOWN',
    })
    step.child.stdin?.end()
    await step.result
    await service('start', 'dockerd')
    await expectServed()
  }, 60_000)

  it('answers, but does not start: HW_START_TIMEOUT; what it starts later all the same is removed', async () => {
    await start({ node: { start_timeout_s: 2 } })
    await expectServed()
    signalEngine('containerd', 'SIGSTOP')
    const { status, stderr, durationMs } = await run(
      '--name',
      'late',
      'busybox:test',
      'touch',
      'ran',
    )
    expect(status).toBe(125)
    expect(ownLines(stderr)).toEqual([expect.stringMatching(/^hepwrap: .*\(HW_START_TIMEOUT/)])
    expect(durationMs).toBeLessThan(12_000 * PATIENCE)
    expect(await closedRecord(daemon, 'late')).toMatchObject({
      state: 'FAILED',
      reason: 'HW_START_TIMEOUT',
    })
    expect(await containers()).not.toEqual([])
    signalEngine('containerd', 'SIGCONT')
    await expectNothingLeft(undefined, 15_000)
    expect(existsSync('/home/alice/ran')).toBe(false)
    await expectServed()
  })

  it('hangs: a run that begins is told in time, one that goes on ends with its own status, others are served', async () => {
    await start({ node: { start_timeout_s: 2 } })
    const payload = 'echo ready; until [ -e go ]; do sleep 0.05; done; exit 7'
    const step = startStep(
      'alice',
      `hepwrap run --name during busybox:test sh -c '${payload}'; echo status $?; hold`,
    )
    await eventually(() => step.stdoutSoFar() === 'ready\n')
    signalEngine('dockerd', 'SIGSTOP')
    await alice.run(['touch', 'go'])
    const { status, stderr, durationMs } = await run('--name', 'hung', 'busybox:test', 'true')
    expect(status).toBe(125)
    expect(ownLines(stderr)).toEqual([
      expect.stringMatching(/^hepwrap: .* did not .* 2 s.*\(HW_(ENGINE_DOWN|START_TIMEOUT)/),
    ])
    expect(durationMs).toBeLessThan(12_000 * PATIENCE)
    expect(await closedRecord(daemon, 'hung')).toMatchObject({ state: 'FAILED', exit_code: 125 })
    expect((await alice.run(['hepwrap', 'acct'])).status).toBe(0)

    await eventually(() => step.stdoutSoFar() === 'ready\nstatus 7\n', { timeoutMs: 25_000 })
    expect(await closedRecord(daemon, 'during')).toMatchObject({ state: 'FAILED', exit_code: 7 })
    signalEngine('dockerd', 'SIGCONT')
    step.child.stdin?.end()
    await step.result
    await expectServed()
  }, 60_000)
})
