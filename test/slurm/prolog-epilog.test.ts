// Prolog and epilog as slurmd runs them, with the daemon there and without it: a node is never drained for hepwrap's sake.
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Daemon, startDaemon, stopDaemons } from '../world/daemon.js'
import { eventually, PATIENCE } from '../world/eventually.js'
import {
  clientOf,
  closedRecord,
  expectNothingLeft,
  ownLines,
  payloadsOf,
  recordOf,
  startStep,
} from '../world/runs.js'
import {
  cgroupsOf,
  cgroupVersion,
  complaints,
  directoryIn,
  logSince,
  processes,
} from '../world/traces.js'
import { as, expectSuccess, type Result, type Running, waitJob } from '../world/world.js'

const alice = as('alice')
const root = as('root')
const shared = ['-p', 'shared']
let daemon: Daemon
let slurmdLog: () => string[]
// The two that take long begin first and are looked at last.
let frozen: { step: Running; epilog: Promise<Result>; thaw: () => Promise<unknown> }
let mute: { listener: Running; prolog: Promise<Result> }

beforeAll(async () => {
  slurmdLog = logSince('slurmd-n1')
  daemon = await startDaemon()
  mute = await startMuteDaemon()
  frozen = await startFrozenRun()
})
afterAll(async () => {
  mute.listener.kill('SIGTERM')
  await stopDaemons()
  await expectNothingLeft()
})

function hook(which: 'prolog' | 'epilog', jobId: string, env: Record<string, string> = {}) {
  const job = { SLURM_JOB_ID: jobId, SLURM_JOB_UID: '2001', SLURM_JOB_USER: 'alice', ...env }
  const words = Object.entries(job).map((pair) => pair.join('='))
  return root.run(['env', '-i', ...words, `/opt/hepwrap/${which}/hepwrap-${which}`])
}

/** Something that accepts connections and says nothing. */
async function startMuteDaemon() {
  const socket = '/tmp/mute.sock'
  const program = `import socket, time; s = socket.socket(socket.AF_UNIX); s.bind("${socket}"); s.listen(9); print("ready", flush=True); time.sleep(99)`
  const listener = root.start(['python3', '-c', program], { timeoutMs: 60_000 })
  await eventually(() => listener.stdoutSoFar() === 'ready\n')
  return { listener, prolog: hook('prolog', '4711', { HEPWRAP_SOCKET: socket }) }
}

/** A run that cannot be ended at once: on v1 even SIGKILL waits for the thaw; and the epilog of its job. */
async function startFrozenRun() {
  const { options, command, freeze, thaw } = cgroupVersion === 1 ? frozenStep() : frozenDisk()
  const script = `hepwrap run --name frozen ${options} busybox:test ${command}; hold`
  const step = startStep('alice', script, shared, { timeoutMs: 60_000 })
  await eventually(() => payloadsOf(daemon, 'frozen').length > 0)
  await freeze()
  const epilog = hook('epilog', String(recordOf(daemon, 'frozen')['job_id']))
  return { step, epilog, thaw }
}

function frozenStep() {
  const write = async (state: string) => {
    const leaf = directoryIn(cgroupsOf((await clientOf('frozen')).pid), 'freezer')
    expectSuccess(await root.run(['sh', '-c', `echo ${state} >${leaf}/freezer.state`]))
  }
  const freeze = () => write('FROZEN')
  return { options: '', command: 'sleep 974', freeze, thaw: () => write('THAWED') }
}

/** On v2 SIGKILL ends what is frozen, too; what writes to a file system that stands still it does not. */
function frozenDisk() {
  const disk = '/srv/frozen'
  const script = `mkdir -p ${disk} && truncate -s 32M ${disk}.img && mkfs.ext4 -qF ${disk}.img
    mount -o loop ${disk}.img ${disk} && install -d -o alice -g alice ${disk}/alice`
  const freeze = async () => {
    const name = `${disk}/alice/written`
    await eventually(() => existsSync(name))
    expectSuccess(await root.run(['fsfreeze', '--freeze', disk]))
    await eventually(() => payloadsOf(daemon, 'frozen').some((pid) => stateOf(pid) === 'D'))
  }
  const thaw = async () => {
    expectSuccess(await root.run(['fsfreeze', '--unfreeze', disk]))
    expectSuccess(await root.run(['umount', '--lazy', disk]))
  }
  execFileSync('sh', ['-ec', script])
  const command = `sh -c 'while :; do echo >>${disk}/alice/written; done'`
  return { options: `-v ${disk}/alice:${disk}/alice`, command, freeze, thaw }
}

const stateOf = (pid: number) => processes().find((each) => each.pid === pid)?.state

async function expectFitNode() {
  const state = async () => (await root.run(['sinfo', '-h', '-o', '%T %E'])).stdout.split('\n')[0]
  await eventually(async () => (await state()) === 'idle none').catch(async () =>
    expect(await state()).toBe('idle none'),
  )
  expect((await root.run(['sinfo', '-h', '-R'])).stdout).toBe('')
}

const logged = (message: string, jobId: unknown) =>
  daemon.log().filter((line) => line['msg'] === message && line['jobId'] === Number(jobId))

describe('prolog and epilog', () => {
  it('slurmd’s own prolog announces each job and its epilog ends it', async () => {
    const job = await alice.sbatch('hepwrap run --name told busybox:test true', shared)
    await waitJob(job.id)
    expect(logged('job announced', job.id)).toHaveLength(1)
    await eventually(() => logged('job ended', job.id).length === 1)
    expect(logged('job ended', job.id)).toMatchObject([{ ended: 0, alive: [], removed: true }])
    expect(recordOf(daemon, 'told')).toMatchObject({
      job_id: Number(job.id),
      partition: 'shared',
      state: 'COMPLETED',
    })
  })

  it('the epilog’s clean ends what lives of the job, and its later runs are refused', async () => {
    const payload = 'trap : TERM; while sleep 0.05; do :; done'
    const step = startStep(
      'alice',
      `hepwrap run --name left busybox:test sh -c '${payload}'; echo $?; hepwrap run busybox:test true; echo $?; hold`,
      shared,
    )
    await eventually(() => payloadsOf(daemon, 'left').length > 0)
    const { status, durationMs } = await hook('epilog', String(recordOf(daemon, 'left')['job_id']))
    expect(status).toBe(0)
    expect(durationMs).toBeLessThan(5000 * PATIENCE) // SIGKILL at once: Slurm has given its grace before
    expect(recordOf(daemon, 'left')).toMatchObject({
      state: 'CANCELLED',
      reason: 'HW_JOB_CLEANED',
      signal: 9,
    })
    await eventually(() => step.stdoutSoFar() === '137\n125\n')
    expect(ownLines(step.stderrSoFar()).join('\n')).toContain('HW_JOB_ENDED')
    step.child.stdin?.end()
    expect((await step.result).status).toBe(0)
  })

  it('ACCEPTANCE 23: an announced second life ends what the first has left, before it begins', async () => {
    const run = (name: string, command: string) =>
      `hepwrap run --name ${name} busybox:test ${command}`
    const script = `${run('first', 'sleep 973')}; ${run('second', 'true')}; echo $?; hold`
    const step = startStep('alice', script, shared)
    await eventually(() => payloadsOf(daemon, 'first').length > 0)
    const jobId = String(recordOf(daemon, 'first')['job_id'])
    expectSuccess(await hook('prolog', jobId, { SLURM_JOB_RESTART_COUNT: '1' }))
    expect(recordOf(daemon, 'first')).toMatchObject({
      state: 'CANCELLED',
      reason: 'HW_JOB_CLEANED',
    })
    await eventually(() => step.stdoutSoFar() === '0\n')
    expect(recordOf(daemon, 'second')).toMatchObject({ state: 'COMPLETED', restart_count: 1 })
    step.child.stdin?.end()
    await step.result
  })

  it('nobody but root may announce or end a job', async () => {
    for (const verb of ['configure', 'clean']) {
      const { status, stderr } = await alice.run(['hepwrap', verb], { env: { SLURM_JOB_ID: '1' } })
      expect(status).not.toBe(0)
      expect(stderr).toContain('HW_ROOT_ONLY')
    }
  })

  it('ACCEPTANCE 27: the prolog gives up on a daemon that says nothing, with 0', async () => {
    const { status, durationMs } = await mute.prolog
    expect(status).toBe(0)
    expect(durationMs).toBeLessThan(15_000 * PATIENCE)
  })

  it('a container that cannot be ended makes the epilog fail and name it; others are served meanwhile', async () => {
    const { status, stderr } = await frozen.epilog
    expect(status).toBe(1)
    expect(stderr).toContain(recordOf(daemon, 'frozen').id.slice(0, 12))
    await frozen.thaw()
    expect(await closedRecord(daemon, 'frozen')).toMatchObject({ reason: 'HW_JOB_CLEANED' })
    frozen.step.child.stdin?.end()
    await frozen.step.result
    await expectNothingLeft('sleep 97\\d')
    expect(complaints(slurmdLog())).toEqual([])
  })

  it('ACCEPTANCE 27: the daemon is down: prolog 0, one line and 125, epilog 0, the node stays fit', async () => {
    await daemon.stop()
    expect(existsSync(daemon.socketPath)).toBe(false)
    const { status, stdout, stderr } = await alice.srun([
      '-Q',
      'hepwrap',
      'run',
      'busybox:test',
      'true',
    ])
    expect({ status, stdout }).toEqual({ status: 125, stdout: '' })
    expect(ownLines(stderr)).toEqual([
      expect.stringMatching(/^hepwrap: .*hepwrapd\.sock.* \(HW_DAEMON_DOWN\)$/),
    ])
    const job = await alice.sbatch('true')
    expect((await waitJob(job.id)).state).toBe('COMPLETED')
    await expectFitNode()
    expect(await hook('prolog', '4711')).toMatchObject({ status: 0, stdout: '' })
    expect(await hook('epilog', '4711')).toMatchObject({ status: 0, stdout: '' })
  })

  it('ACCEPTANCE 27: the socket of a daemon that was killed is no daemon, and the next takes its place', async () => {
    await daemon.restart()
    await daemon.kill('SIGKILL')
    expect(existsSync(daemon.socketPath)).toBe(true)
    const refused = await alice.srun(['-Q', 'hepwrap', 'run', 'busybox:test', 'true'])
    expect(refused.status).toBe(125)
    expect(ownLines(refused.stderr)).toEqual([expect.stringContaining('(HW_DAEMON_DOWN)')])
    await daemon.restart()
    expect((await alice.srun(['hepwrap', 'run', 'busybox:test', 'true'])).status).toBe(0)
    await expectFitNode()
  })
})
