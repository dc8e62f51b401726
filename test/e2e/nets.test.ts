// "A container never outlives its step": each of the nets under that rule, alone, with the others out of the way.
import { readdirSync, writeFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { bareRequest, runBytes } from '../slurm/raw-request.js'
import { type ConfigOverrides, type Daemon, startDaemon, stopDaemons } from '../world/daemon.js'
import { eventually } from '../world/eventually.js'
import {
  clientOf,
  closedRecord,
  expectNothingLeft,
  payloadsOf,
  recordOf,
  startStep,
} from '../world/runs.js'
import { containers, directoryIn, processes } from '../world/traces.js'
import { as, expectSuccess, waitJob } from '../world/world.js'

const alice = as('alice')
const root = as('root')
const deaf = 'trap : TERM HUP INT; echo ready; sleep 941 & while :; do wait; done'
const hour: ConfigOverrides = { node: { stop_timeout_s: 3600 } }
let daemon: Daemon
let foreign: string

beforeAll(async () => {
  const run = ['docker', 'run', '-d', '--name', 'hepwrap-foreign', 'busybox:test', 'sleep', '999']
  foreign = expectSuccess(await root.run(run)).stdout.trim()
})
afterEach(async () => {
  await expectNothingLeft()
  await stopDaemons()
})
afterAll(async () => {
  const [kept] = (await containers()).filter(({ Id }) => Id === foreign)
  expect(kept?.State).toBe('running')
  await root.run(['docker', 'rm', '-f', foreign])
})

/** A step in which odd-client.py runs `deaf` and then behaves as told; the process that lives on is the holder. */
async function oddClient(behaviour: 'close' | 'bequeath', name: string) {
  const request = bareRequest({ name, command: ['sh', '-c', deaf], stop_timeout_s: 1 })
  writeFileSync(`/tmp/${name}.request`, runBytes(request), { mode: 0o644 })
  const client = `python3 /opt/hepwrap/test/e2e/odd-client.py ${behaviour} </tmp/${name}.request`
  const step = startStep('alice', `${client} & hold`)
  const [, pid] = await eventually(() => /^holder (\d+)$/m.exec(step.stdoutSoFar()) ?? undefined)
  return { step, holderPid: Number(pid) }
}

const isAlive = (pid: number) => processes().some((each) => each.pid === pid)

/** Takes the container out of the reach of Slurm's own kill, which on v1 goes by the freezer, on v2 by the task's own list. */
function hideFromSlurm(name: string): void {
  const inits = processes(/^\/\.hepwrap[^/]*\/init /).map(({ pid }) => pid)
  for (const pid of [...inits, ...payloadsOf(daemon, name)]) {
    if (isAlive(pid))
      writeFileSync(`${directoryIn({ '': '', freezer: '' }, 'freezer')}/cgroup.procs`, String(pid))
  }
}

describe('the first net: the connection', () => {
  it('ends a run whose connection is closed though its client lives on', async () => {
    daemon = await startDaemon()
    const { step, holderPid } = await oddClient('close', 'net-1')
    expect(await closedRecord(daemon, 'net-1')).toMatchObject({
      state: 'CANCELLED',
      reason: 'HW_CLIENT_GONE',
      signal: 9,
    })
    expect(isAlive(holderPid)).toBe(true)
    step.kill('SIGTERM')
  })
})

describe('the second net: the caller', () => {
  it('ends a run whose caller is dead though somebody holds its connection open', async () => {
    daemon = await startDaemon({ config: { node: { stop_timeout_s: 1 } } })
    const { step, holderPid } = await oddClient('bequeath', 'net-2')
    expect(await closedRecord(daemon, 'net-2')).toMatchObject({
      state: 'CANCELLED',
      reason: 'HW_CLIENT_GONE',
      signal: 9,
    })
    expect(isAlive(holderPid)).toBe(true)
    step.kill('SIGTERM')
  })
})

describe('the third net: the epilog', () => {
  it('ends a run whose client is alive and connected', async () => {
    daemon = await startDaemon({ config: hour })
    const step = startStep('alice', `hepwrap run --name net-3 busybox:test sh -c '${deaf}'; hold`)
    await eventually(() => step.stdoutSoFar() === 'ready\n')
    const client = await clientOf('net-3')
    process.kill(client.pid, 'SIGSTOP')
    const job = { SLURM_JOB_ID: String(recordOf(daemon, 'net-3')['job_id']) }
    expectSuccess(await root.run(['hepwrap', 'clean'], { env: job }))
    expect(isAlive(client.pid)).toBe(true)
    expect(recordOf(daemon, 'net-3')).toMatchObject({
      state: 'CANCELLED',
      reason: 'HW_JOB_CLEANED',
    })
    await expectNothingLeft()
    process.kill(client.pid, 'SIGCONT')
    step.child.stdin?.end()
    await step.result
  })

  it('as slurmd calls it, ends a run that Slurm could not reach and that has an hour of grace', async () => {
    daemon = await startDaemon({ config: hour })
    const job = await alice.sbatch(`srun hepwrap run --name unreached busybox:test sh -c '${deaf}'`)
    await eventually(() => job.output() === 'ready\n')
    hideFromSlurm('unreached')
    process.kill((await clientOf('unreached')).pid, 'SIGKILL')
    await waitJob(job.id)
    await expectNothingLeft(undefined, 3000)
    expect(recordOf(daemon, 'unreached')).toMatchObject({ state: 'CANCELLED', signal: 9 })
  })
})

describe('the fourth net: recovery', () => {
  it.each(['connected', 'dead'])(
    'ends a run whose daemon was killed, its client %s',
    async (client) => {
      daemon = await startDaemon({ config: hour })
      const name = `net-4-${client}`
      const step = startStep(
        'alice',
        `hepwrap run --name ${name} busybox:test sh -c '${deaf}'; hold`,
      )
      await eventually(() => step.stdoutSoFar() === 'ready\n')
      const { pid } = await clientOf(name)
      process.kill(pid, client === 'dead' ? 'SIGKILL' : 'SIGSTOP')
      await daemon.kill('SIGKILL')
      expect(payloadsOf(daemon, name)).not.toEqual([])
      await daemon.restart()
      await expectNothingLeft(undefined, 1000) // init alone would give it ten seconds
      expect(recordOf(daemon, name)).toMatchObject({
        state: 'NODE_FAIL',
        reason: 'HW_DAEMON_RESTARTED',
      })
      if (client === 'connected') process.kill(pid, 'SIGCONT')
      step.child.stdin?.end()
      await step.result
    },
  )
})

describe('below the nets: init', () => {
  it('ends the payload when the daemon has died and nobody starts another', async () => {
    daemon = await startDaemon()
    const payload =
      'trap "echo TERM >orphan.seen; exit 0" TERM; echo ready; while sleep 0.05; do :; done'
    const step = startStep(
      'alice',
      `hepwrap run --name net-5 busybox:test sh -c '${payload}'; echo $?; hold`,
    )
    await eventually(() => step.stdoutSoFar() === 'ready\n')
    await daemon.kill('SIGKILL')
    await eventually(() => readdirSync('/home/alice').includes('orphan.seen'))
    await eventually(() => step.stdoutSoFar() === 'ready\n125\n')
    expect(step.stderrSoFar()).toMatch(/^hepwrap: .*\(HW_DAEMON_LOST/m)
    await eventually(async () =>
      (await containers()).every(({ Id, State }) => Id === foreign || State === 'exited'),
    )
    step.child.stdin?.end()
    await step.result
    await daemon.restart()
  })
})
