// Signals on their way from Slurm and the user to the payload, which sees each before anything ends.
import { existsSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Daemon, startDaemon, stopDaemons } from '../world/daemon.js'
import { eventually } from '../world/eventually.js'
import { clientOf, clientsOf, closedRecord, expectNothingLeft, startStep } from '../world/runs.js'
import { complaints, logSince, processes } from '../world/traces.js'
import { as, expireJob, type Submitted, waitJob } from '../world/world.js'

const alice = as('alice')
const shared = ['-p', 'shared', '-t', '10']
const slow: Promise<unknown>[] = []
let daemon: Daemon
let slurmdLog: () => string[]
let limited: Submitted
let warned: Submitted
let stubborn: Submitted

beforeAll(async () => {
  daemon = await startDaemon()
  slurmdLog = logSince('slurmd-n1')
  // Slurm looks at time limits twice a minute, and gives a grace: these run beside all the others.
  limited = await alice.sbatch(`srun ${recording('limited', 'TERM')}`, shared)
  warned = await alice.sbatch(`srun ${recording('warned', 'TERM', 'exit 4')}`, [
    // slurmctld looks twice a minute and sends it up to 30 s early: not before 10 s, and not after 40.
    ...['-p', 'shared', '-t', '2', '--signal=TERM@80'],
  ])
  stubborn = await alice.sbatch(`srun ${recording('stubborn', 'TERM')}`, shared)
  await isReady('limited')
  await isReady('warned')
  await expireJob(limited.id)
  await isReady('stubborn')
  await alice.scancel(stubborn.id)
}, 30_000)
afterAll(async () => {
  await Promise.allSettled(slow)
  await stopDaemons()
  await expectNothingLeft('hepwrap\\.cjs')
})

/** A run whose payload writes each of these signals down in ~/NAME.seen as it comes; `then` follows the last of them. */
function recording(name: string, signals: string, then = ':'): string {
  const names = signals.split(' ')
  const trap = (signal: string) =>
    `trap "echo ${signal} >>${name}.seen; ${signal === names.at(-1) ? then : ':'}" ${signal}; `
  const payload = `${names.map(trap).join('')} echo ready >${name}.seen; while :; do sleep 0.05; done`
  return `hepwrap run --name ${name} busybox:test sh -c '${payload}'`
}
const seen = (name: string) => {
  const path = `/home/alice/${name}.seen`
  return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : []
}
const isReady = (name: string) =>
  eventually(() => seen(name)[0] === 'ready', {
    timeoutMs: 20_000, // a job waits for what the last one on its core leaves
    what: `payload of ${name}`,
  })

describe('signals', () => {
  it('ACCEPTANCE 22: each signal that reaches the client reaches the payload', async () => {
    const signals = ['INT', 'HUP', 'QUIT', 'USR1', 'USR2', 'CONT', 'TSTP', 'WINCH', 'TERM']
    const run = startStep('alice', recording('each', signals.join(' '), 'exit 9'), shared)
    await isReady('each')
    const client = await clientOf('each')
    for (const [index, signal] of signals.entries()) {
      process.kill(client.pid, `SIG${signal}`)
      await eventually(() => seen('each').length > index + 1, { what: signal })
    }
    expect(seen('each')).toEqual(['ready', ...signals])
    expect((await run.result).status).toBe(9)
    expect(await closedRecord(daemon, 'each')).toMatchObject({ state: 'CANCELLED', exit_code: 9 })
  })

  it('ACCEPTANCE 22: a payload that does not care dies of the forwarded signal, and the status says so', async () => {
    const run = startStep('alice', 'hepwrap run --name plain busybox:test sleep 999', shared)
    const client = await clientOf('plain')
    await eventually(() => processes(/^sleep 999$/).length > 0)
    process.kill(client.pid, 'SIGTERM')
    expect((await run.result).status).toBe(143)
    expect(await closedRecord(daemon, 'plain')).toMatchObject({
      state: 'CANCELLED',
      reason: 'HW_SIGNALED',
      signal: 15,
    })
  })

  it('ACCEPTANCE 22: scancel: the payload sees SIGTERM and may end in its own way', async () => {
    const job = await alice.sbatch(`srun ${recording('cancelled', 'TERM', 'exit 0')}`, shared)
    await isReady('cancelled')
    await alice.scancel(job.id)
    expect((await waitJob(job.id)).state).toBe('CANCELLED')
    expect(seen('cancelled')).toEqual(['ready', 'TERM'])
    expect(await closedRecord(daemon, 'cancelled')).toMatchObject({ exit_code: 0 })
  })

  it('ACCEPTANCE 22: scancel --signal=USR1 --full reaches the payload of a step, which goes on', async () => {
    const script = `trap : USR1; srun ${recording('full', 'USR1 TERM', 'exit 5')} & wait; wait`
    const job = await alice.sbatch(script, shared)
    await isReady('full')
    await alice.scancel('--signal=USR1', '--full', job.id)
    await eventually(() => seen('full').includes('USR1'))
    await alice.scancel('--signal=TERM', job.id)
    await waitJob(job.id)
    expect(seen('full')).toEqual(['ready', 'USR1', 'TERM'])
    expect(await closedRecord(daemon, 'full')).toMatchObject({ exit_code: 5 })
  })

  it('ACCEPTANCE 22: scancel --signal=USR2 --batch reaches the payload of the batch step', async () => {
    const job = await alice.sbatch(`exec ${recording('batch', 'USR2', 'exit 6')}`, shared)
    await isReady('batch')
    await alice.scancel('--signal=USR2', '--batch', job.id)
    expect(await waitJob(job.id)).toMatchObject({ state: 'FAILED', exitCode: 6 })
    expect(seen('batch')).toEqual(['ready', 'USR2'])
  })

  it('ACCEPTANCE 22: scancel --signal=KILL of a step leaves nothing of it', async () => {
    const job = await alice.sbatch(`srun ${recording('killed', 'TERM')}; sleep 60`, shared)
    await isReady('killed')
    await alice.scancel('--signal=KILL', `${job.id}.0`)
    expect(await closedRecord(daemon, 'killed', 3000)).toMatchObject({
      state: 'CANCELLED',
      reason: 'HW_CLIENT_GONE',
      signal: 9,
    })
    await eventually(() => clientsOf('killed').length === 0)
    await alice.scancel(job.id)
  })

  it('ACCEPTANCE 22: scancel: a payload that ignores SIGTERM is killed when Slurm kills', async () => {
    expect((await waitJob(stubborn.id)).state).toBe('CANCELLED')
    expect(seen('stubborn')).toEqual(['ready', 'TERM'])
    const record = await closedRecord(daemon, 'stubborn')
    expect(record).toMatchObject({ state: 'CANCELLED', exit_code: 137, signal: 9 })
  })

  it('ACCEPTANCE 22: sbatch --signal=TERM@80: the payload is warned before its time limit', async () => {
    const ended = waitJob(warned.id, 50_000)
    slow.push(ended)
    expect(await ended).toMatchObject({ state: 'FAILED', exitCode: 4 })
    expect(seen('warned')).toEqual(['ready', 'TERM'])
  })

  it('ACCEPTANCE 22: the time limit: SIGTERM first, then the end', async () => {
    const ended = waitJob(limited.id, 50_000)
    slow.push(ended)
    expect(await ended).toMatchObject({ state: 'TIMEOUT' })
    expect(new Set(seen('limited'))).toEqual(new Set(['ready', 'TERM'])) // Slurm may say it twice
    const record = await closedRecord(daemon, 'limited')
    expect(record).toMatchObject({ exit_code: 137, signal: 9 })
    expect(['TIMEOUT', 'CANCELLED']).toContain(record.state)
  })

  it('ACCEPTANCE 25: slurmd has no complaint about any of it, and nothing is left', async () => {
    await expectNothingLeft('hepwrap\\.cjs')
    expect(complaints(slurmdLog())).toEqual([])
  })
})
