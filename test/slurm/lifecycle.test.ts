// The end of a run, whoever brings it about: within seconds nothing of it is left, and its record says what happened.
import { existsSync, readFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type Daemon, startDaemon, stopDaemons } from '../world/daemon.js'
import { eventually, PATIENCE } from '../world/eventually.js'
import {
  clientOf,
  clientsOf,
  closedRecord,
  expectNothingLeft,
  ownLines,
  payloadsOf,
  recordOf,
  startStep,
} from '../world/runs.js'
import { containers, processes } from '../world/traces.js'
import { as, type Running, showJob, waitJob } from '../world/world.js'

const alice = as('alice')
let daemon: Daemon
beforeAll(async () => void (daemon = await startDaemon()))
afterEach(() => expectNothingLeft('sleep 98\\d'))
afterAll(stopDaemons)

const isRunning = (name: string) =>
  eventually(() => payloadsOf(daemon, name).length > 0, { what: `payload of ${name}` })

/** Slurm would wait two minutes before it starts a requeued job again. */
async function beginNow(jobId: string): Promise<boolean> {
  if ((await showJob(jobId)).state === 'RUNNING') return true
  await as('root').run(['scontrol', 'update', `jobid=${jobId}`, 'starttime=now'])
  return false
}

/** Ends the step that outlived its container. */
async function leave(step: Running) {
  step.child.stdin?.end()
  return step.result
}

describe('the end of a run', () => {
  it('ACCEPTANCE 22: children in the background, in sessions of their own too, end with the command', async () => {
    const payload =
      'sleep 981 & setsid sleep 982 & (setsid sh -c "trap : TERM HUP; sleep 983" &) ; exit 0'
    const { status, durationMs } = await alice.srun([
      '-Q',
      'hepwrap',
      'run',
      'busybox:test',
      'sh',
      '-c',
      payload,
    ])
    expect(status).toBe(0)
    expect(durationMs).toBeLessThan(5000 * PATIENCE)
  })

  it('ACCEPTANCE 22: SIGKILL of the client: SIGTERM and the grace for the payload, then nothing is left', async () => {
    const payload = 'trap "echo TERM >client.seen; sleep 0.2; echo done >>client.seen; exit 0" TERM'
    const run = `hepwrap run --name client busybox:test sh -c '${payload}; while :; do sleep 0.05; done'`
    const step = startStep('alice', `${run}; echo status $?; hold`)
    await isRunning('client')
    process.kill((await clientOf('client')).pid, 'SIGKILL')
    const record = await closedRecord(daemon, 'client')
    expect(record).toMatchObject({ state: 'CANCELLED', reason: 'HW_CLIENT_GONE', exit_code: 0 })
    expect(readFileSync('/home/alice/client.seen', 'utf8')).toBe('TERM\ndone\n')
    expect((await leave(step)).stdout).toBe('status 137\n')
  })

  it('ACCEPTANCE 22: SIGKILL of the client of a payload that ignores SIGTERM: killed when its grace is over', async () => {
    const payload = 'trap : TERM HUP INT; while :; do sleep 0.05; done'
    const step = startStep(
      'alice',
      `hepwrap run --name deaf --stop-timeout 1 busybox:test sh -c '${payload}'; hold`,
    )
    await isRunning('deaf')
    const killedMs = performance.now()
    process.kill((await clientOf('deaf')).pid, 'SIGKILL')
    expect(await closedRecord(daemon, 'deaf')).toMatchObject({
      state: 'CANCELLED',
      reason: 'HW_CLIENT_GONE',
      signal: 9,
    })
    expect(performance.now() - killedMs).toBeLessThan(4000 * PATIENCE)
    expect(performance.now() - killedMs).toBeGreaterThan(900)
    await leave(step)
  })

  it('ACCEPTANCE 22: SIGKILL of slurmstepd and of every process of the step', async () => {
    const job = await alice.sbatch('srun hepwrap run --name step busybox:test sleep 984')
    await isRunning('step')
    const client = await clientOf('step')
    const stepd = processes(new RegExp(`slurmstepd: \\[${job.id}\\.0\\]`))[0]!
    process.kill(stepd.pid, 'SIGKILL')
    process.kill(client.pid, 'SIGKILL')
    expect(await closedRecord(daemon, 'step')).toMatchObject({
      state: 'CANCELLED',
      reason: 'HW_CLIENT_GONE',
    })
    await alice.scancel(job.id)
    await waitJob(job.id)
  })

  it('ACCEPTANCE 22: a client that is stopped keeps its run, which ends with it', async () => {
    const step = startStep('alice', 'hepwrap run --name still busybox:test sleep 985; hold')
    await isRunning('still')
    const client = await clientOf('still')
    process.kill(client.pid, 'SIGSTOP')
    const { stdout } = await alice.run(['hepwrap', 'ps'])
    expect(stdout).toContain('still')
    process.kill(client.pid, 'SIGKILL')
    await closedRecord(daemon, 'still')
    await leave(step)
  })

  it('ACCEPTANCE 22: cancelled at any moment of its start, a run leaves nothing', async () => {
    const step = startStep(
      'alice',
      'while read name; do hepwrap run --name $name busybox:test sleep 986 & done; wait',
    )
    const delaysMs = [0, 0, 0, 2, 5, 10, 30, 60, 90, 120, 160, 220]
    for (const [index, delayMs] of delaysMs.entries()) {
      const name = `early-${index}`
      step.child.stdin?.write(`${name}\n`)
      const client = await clientOf(name)
      await eventually(() => daemon.ledgerRows().some((row) => row['name'] === name))
      await new Promise((resolve) => setTimeout(resolve, delayMs))
      process.kill(client.pid, index % 2 === 0 ? 'SIGKILL' : 'SIGTERM')
      const record = await closedRecord(daemon, name)
      expect(`${record.state} ${record.reason}`).toMatch(/^CANCELLED /)
      await eventually(() => clientsOf(name).length === 0)
    }
    await leave(step)
  })

  it('ACCEPTANCE 22: the user’s own hepwrap stop and kill', async () => {
    const run = (name: string) => `hepwrap run --name ${name} busybox:test sleep 987; echo $?`
    const step = startStep('alice', `${run('stopped')}; ${run('killed')}; hold`)
    await isRunning('stopped')
    expect((await alice.run(['hepwrap', 'stop', 'stopped'])).status).toBe(0)
    await isRunning('killed')
    expect((await alice.run(['hepwrap', 'kill', 'killed'])).status).toBe(0)
    await eventually(() => step.stdoutSoFar() === '143\n137\n')
    expect(recordOf(daemon, 'stopped')).toMatchObject({ state: 'CANCELLED', reason: 'HW_STOPPED' })
    await leave(step)
  })

  it('ACCEPTANCE 23: requeue with the same job id: nothing of the first life is left when the second begins', async () => {
    const name = 'life-${SLURM_RESTART_COUNT:-0}'
    const job = await alice.sbatch(`srun hepwrap run --name ${name} busybox:test sleep 988`, [
      '--requeue',
    ])
    await isRunning('life-0')
    const [first] = (await containers()).map(({ Id }) => Id)
    expect((await as('root').run(['scontrol', 'requeue', job.id])).status).toBe(0)
    expect(await closedRecord(daemon, 'life-0', 20_000)).toMatchObject({ state: 'CANCELLED' })
    await eventually(() => beginNow(job.id), { timeoutMs: 20_000, what: 'the second life' })
    await isRunning('life-1')
    expect((await containers()).map(({ Id }) => Id)).not.toContain(first)
    const { ended_at: ended } = recordOf(daemon, 'life-0')
    const second = recordOf(daemon, 'life-1')
    expect(String(ended) < String(second['created_at'])).toBe(true)
    expect(second).toMatchObject({ job_id: Number(job.id), state: 'RUNNING' })
    await alice.scancel(job.id)
    await waitJob(job.id)
  })

  it('graceful stop: runs get SIGTERM and their grace, are told, closed and gone; new ones are refused', async () => {
    const payload =
      'trap "sleep 0.5; echo bye; exit 3" TERM; echo ready; while :; do sleep 0.05; done'
    const step = startStep(
      'alice',
      `hepwrap run --name polite busybox:test sh -c '${payload}'; echo status $?; hold`,
    )
    await eventually(() => step.stdoutSoFar() === 'ready\n')
    const stopped = daemon.stop()
    await eventually(() => daemon.logText().includes('"stopping"'))
    const late = await alice.srun(['-Q', 'hepwrap', 'run', 'busybox:test', 'true'])
    expect(late.status).toBe(125)
    expect(ownLines(late.stderr).join()).toMatch(/\(HW_DAEMON_(STOPPING|DOWN)/)
    expect(await stopped).toBe(0)
    await eventually(() => step.stdoutSoFar() === 'ready\nbye\nstatus 125\n')
    expect(ownLines(step.stderrSoFar()).join()).toContain('HW_DAEMON_STOPPING')
    expect(recordOf(daemon, 'polite')).toMatchObject({
      state: 'NODE_FAIL',
      reason: 'HW_DAEMON_STOPPING',
    })
    await expectNothingLeft()
    expect(existsSync(daemon.socketPath)).toBe(false)
    await daemon.restart()
    await leave(step)
  })
})
