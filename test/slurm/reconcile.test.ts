// cluster: --slurmdbd
// Containers beside Slurm's own accounting: a real slurmdbd on MariaDB, real jobs with real containers, and lies.
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { UsageRecord } from '../../src/wire/usage-api.js'
import { type Aggregator, askAs, startAggregator, stopAggregators } from '../world/aggregator.js'
import { startDaemon, stopDaemons } from '../world/daemon.js'
import { eventually } from '../world/eventually.js'
import { as, expectSuccess, type Result, service, type User, waitJob } from '../world/world.js'
import { hepwrapRun } from './job-runs.js'

/** What ended seconds ago may still be on its way. */
const PATIENCE = { timeoutMs: 45_000, intervalMs: 500 }

interface Found {
  readonly Finding: string
  readonly JobID: string
  readonly User: string
  readonly Account: string
  readonly Hepwrap: string | number | null
  readonly Slurm: string | number | null
}

/** Some seconds of CPU time: Slurm counts whole ones. */
const BURN = 'i=0; while [ $i -lt 5000000 ]; do i=$((i+1)); done'

/** 50 MB and some seconds, at which Slurm looks once a second. */
const HOLD =
  "x=$(head -c 50000000 /dev/zero | tr '\\0' a); for ((i = 0; i < 4000000; i++)); do :; done; echo ${#x}"

let aggregator: Aggregator
let batchJob: string
/** Kept apart from what the tests make up: up to here all is true. */
let honestUntil: string

beforeAll(async () => {
  aggregator = await startAggregator()
  await startDaemon({ config: { accounting: { aggregator: aggregator.url } } })
  const slurm = ['-A', 'atlas']
  expectSuccess(await hepwrapRun('alice', ['debian:test', 'bash', '-c', HOLD], { slurm }))
  const script = `hepwrap run busybox:test sh -c '${BURN}'
    hepwrap run busybox:test sh -c 'head -c 40000000 /dev/zero | tail -c 1'
    srun hepwrap run busybox:test true`
  batchJob = (await as('alice').sbatch(script, slurm)).id
  await waitJob(batchJob)
  await hepwrapRun('bob', ['busybox:test', 'false'], { slurm: ['-A', 'cms'] })
  await eventually(async () => (await records()).filter(isOver).length === 5, {
    what: 'the records at the aggregator',
  })
  await eventually(async () => (await slurmSteps()).length >= 7, { what: 'the steps in slurmdbd' })
  honestUntil = new Date().toISOString()
}, 120_000)
afterAll(async () => {
  await stopDaemons()
  await stopAggregators()
})

const isOver = ({ state }: UsageRecord) => state !== 'RUNNING'

const hepwrap = (user: User, ...args: string[]): Promise<Result> =>
  as(user).run(['hepwrap', ...args], { env: { HEPWRAP_AGGREGATOR: aggregator.url } })

async function records(): Promise<UsageRecord[]> {
  const { stdout } = expectSuccess(await hepwrap('root', 'acct', '--json'))
  return JSON.parse(stdout) as UsageRecord[]
}

/** Steps that have ended, as sacct tells people. */
async function slurmSteps(): Promise<string[]> {
  const argv = ['sacct', '-a', '-n', '-P', '-o', 'jobid,end']
  const { stdout } = expectSuccess(await as('root').run(argv))
  return stdout.split('\n').filter((line) => /^\d+\.\S+\|\d/.test(line))
}

const reconcile = (user: User, ...args: string[]) =>
  hepwrap(user, 'reconcile', '--since', 'now-1hour', ...args)

async function findings(...args: string[]): Promise<Found[]> {
  const { status, stdout, stderr } = await reconcile('root', '--json', ...args)
  const found = JSON.parse(stdout) as Found[]
  expect({ status, stderr }).toEqual({ status: found.length === 0 ? 0 : 1, stderr: '' })
  return found
}

/** A record that the node sends beside those of its ledger. */
async function forge(change: Partial<UsageRecord>): Promise<void> {
  const [genuine] = await records()
  const id = randomBytes(16).toString('hex')
  const reply = await askAs('root', aggregator, {
    method: 'POST',
    path: '/v1/records?cluster=hepp&node=n1',
    body: `${JSON.stringify({ ...genuine, id, ...change })}\n`,
    headers: { 'content-type': 'application/x-ndjson' },
  })
  expect({ status: reply.status, text: await reply.text() }).toMatchObject({ status: 200 })
}

describe('real jobs', () => {
  it('agree: each container is inside of what Slurm counted', async () => {
    const { status, stdout, stderr } = await reconcile('root', '--until', honestUntil)
    expect(stderr).toBe('')
    expect(stdout).toMatch(/\n5 containers in 4 steps of 3 jobs: all agree\n$/)
    expect(status).toBe(0)
  })

  it('ACCEPTANCE 33: sacct counts the containers’ CPU time and memory in their step', async () => {
    const [{ job_id, cpu_user_usec, cpu_system_usec }] = (await records()) as [UsageRecord]
    const ours = ((cpu_user_usec ?? 0) + (cpu_system_usec ?? 0)) / 1e6
    const argv = ['sacct', '-nP', '--units=K', '-o', 'totalcpu,maxrss', '-j', `${job_id}.0`]
    const { stdout } = expectSuccess(await as('root').run(argv))
    const [, minutes, seconds, rss] = /^(\d\d):(\d\d\.\d+)\|(\d+)\S*K\n$/.exec(stdout) ?? []
    const slurms = Number(minutes) * 60 + Number(seconds)
    expect(ours).toBeGreaterThan(2.2)
    expect(slurms).toBeGreaterThan(ours - 2)
    expect(slurms).toBeLessThan(ours + 1)
    expect(Number(rss)).toBeGreaterThan(45_000)
  })

  it('agree for a user about his own', async () => {
    const { status, stdout } = await reconcile('bob', '--until', honestUntil)
    expect(stdout).toMatch(/\n1 containers in 1 steps of 1 jobs: all agree\n$/)
    expect(status).toBe(0)
  })

  it('agree with a file of what sacct says', async () => {
    const { stdout } = expectSuccess(
      await as('root').run(['sacct', '-a', '--json', '--duplicates']),
    )
    writeFileSync('/tmp/sacct.json', stdout)
    expect(await findings('--until', honestUntil, '--sacct', '/tmp/sacct.json')).toEqual([])
  })
})

describe('what does not agree is found', () => {
  it('CPU time that no step used', async () => {
    const step = await as('root').run(['sacct', '-nPXa', '-o', 'jobid'])
    const job = Number(step.stdout.split('\n')[0])
    await forge({ job_id: job, step_id: '0', cpu_user_usec: 500_000_000 })
    expect(await findings()).toMatchObject([
      { Finding: 'cpu-above-step', JobID: `${job}.0`, User: 'alice', Account: 'atlas' },
    ])
    // within a tolerance of anything
    expect(await findings('--tolerance', '9999%')).toMatchObject([{ Finding: 'cpu-above-step' }])
  })

  it('memory that no step was given', async () => {
    await forge({ job_id: Number(batchJob), step_id: 'batch', memory_peak_bytes: 2 ** 40 })
    const [found] = (await findings()).filter(({ Finding }) => Finding === 'memory-above-step')
    expect(found).toMatchObject({
      JobID: `${batchJob}.batch`,
      Hepwrap: 2 ** 40,
      Slurm: 200 * 2 ** 20,
    })
  })

  it('jobs and steps that Slurm never saw', async () => {
    await forge({ job_id: 4_000_000, step_id: '0' })
    await forge({ job_id: Number(batchJob), step_id: '77' })
    expect(await findings()).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ Finding: 'unknown-job', JobID: '4000000.0' }),
        expect.objectContaining({ Finding: 'unknown-step', JobID: `${batchJob}.77` }),
      ]),
    )
  })

  it('records of another user or account than the job’s, before all else', async () => {
    await forge({ job_id: Number(batchJob), step_id: '0', user: 'bob', uid: 2002, account: 'cms' })
    expect((await findings()).slice(0, 2)).toMatchObject([
      { Finding: 'other-user', JobID: `${batchJob}.0`, User: 'alice', Slurm: 'alice' },
      { Finding: 'other-account', JobID: `${batchJob}.0`, Account: 'atlas', Slurm: 'atlas' },
    ])
  })

  it('a record that was never closed', async () => {
    const open = { state: 'RUNNING', ended_at: null, exit_code: null } as const
    await forge({ job_id: Number(batchJob), step_id: 'batch', ...open })
    await eventually(async () => {
      const found = await findings()
      return found.some((one) => one.Finding === 'open-record' && one.JobID === `${batchJob}.batch`)
    }, PATIENCE)
  })

  it('a step that ran a container of which the aggregator has no record', async () => {
    await stopDaemons()
    await startDaemon() // one that tells no aggregator
    const slurm = ['-A', 'atlas']
    const argv = ['busybox:test', 'sh', '-c', 'echo $SLURM_JOB_ID']
    const { stdout } = expectSuccess(await hepwrapRun('alice', argv, { slurm }))
    const missing = { Finding: 'missing-record', JobID: `${stdout.trim()}.0`, User: 'alice' }
    await eventually(async () => {
      const found = await findings()
      expect(found).toEqual(
        expect.arrayContaining([expect.objectContaining({ ...missing, Hepwrap: 0, Slurm: 1 })]),
      )
      return true
    }, PATIENCE)
  })
})

describe('what cannot be found out', () => {
  it('ends with 125: slurmdbd is down', async () => {
    await service('stop', 'slurmdbd')
    const { status, stdout, stderr } = await reconcile('root')
    await service('start', 'slurmdbd')
    expect({ status, stdout }).toEqual({ status: 125, stdout: '' })
    expect(stderr).toMatch(/^hepwrap: sacct: .+ \(HW_SACCT_FAILED\)\n$/)
  })

  it('ends with 125: the aggregator is down', async () => {
    await aggregator.stop()
    const { status, stdout, stderr } = await reconcile('root')
    await aggregator.restart()
    expect({ status, stdout }).toEqual({ status: 125, stdout: '' })
    expect(stderr).toMatch(/\(HW_AGGREGATOR_DOWN\)\n$/)
  })
})
