// Accounting over three nodes and an aggregator, all real: whatever happens on a node or to the aggregator, it has in the end
// exactly the records that the nodes' ledgers have.
// cluster: -n 3
import { existsSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { isDeepStrictEqual } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { UsageRecord } from '../../src/wire/usage-api.js'
import { RECORD_FIELDS } from '../../src/wire/record-fields.js'
import { hepwrap, startRun } from '../slurm/job-runs.js'
import { ndjson } from '../support/usage-record.js'
import { type Aggregator, askAs, startAggregator, stopAggregators } from '../world/aggregator.js'
import { type Daemon, startDaemon, stopDaemons } from '../world/daemon.js'
import { eventually } from '../world/eventually.js'
import { clientOf } from '../world/runs.js'
import { as, expectSuccess, expireJob, type Submitted, type User, waitJob } from '../world/world.js'

const NODES = ['n1', 'n2', 'n3'] as const
const MIB = 1024 ** 2
const daemons = new Map<string, Daemon>()
let aggregator: Aggregator
/** Runs beside everything else, until Slurm ends it. */
let timed: Submitted

beforeAll(async () => {
  aggregator = await startAggregator()
  for (const node of NODES) {
    const config = { accounting: { aggregator: aggregator.url } }
    daemons.set(node, await startDaemon({ node, config }))
  }
  timed = await startTimed()
})
afterAll(async () => {
  await stopDaemons()
  await stopAggregators()
})

/** A job whose time limit its node knows: Slurm 22.05 does not tell its prolog, so it is announced as a later one does. */
async function startTimed(): Promise<Submitted> {
  const wait = 'touch /tmp/begun; while [ ! -e /tmp/announced ]; do sleep 0.05; done'
  const line = `${wait}; exec hepwrap run --name timed debian:test sleep 300`
  const job = await as('alice').sbatch(line, ['-p', 'shared', ...on('n1')])
  await eventually(() => existsSync('/tmp/begun'))
  const env = {
    HEPWRAP_SOCKET: daemons.get('n1')!.socketPath,
    SLURM_JOB_ID: job.id,
    SLURM_JOB_UID: '2001',
    SLURM_JOB_END_TIME: String(Math.floor(Date.now() / 1000) + 1),
  }
  expectSuccess(await hepwrap('root', ['configure'], { env }))
  writeFileSync('/tmp/announced', '')
  await isStarted('timed')
  await expireJob(job.id)
  return job
}

const byId = (a: { id: string }, b: { id: string }) => (a.id < b.id ? -1 : 1)

/** What the three ledgers have, read from their files. */
function inLedgers(): UsageRecord[] {
  const columns = RECORD_FIELDS.map((field) => `"${field}"`).join(', ')
  const rows = [...daemons.values()].flatMap((daemon) =>
    daemon.ledgerRows(`select ${columns} from records`),
  )
  const parsed = rows.map(({ labels, ...row }) => ({
    ...row,
    labels: labels === null ? null : (JSON.parse(labels as string) as unknown),
  }))
  return (parsed as unknown as UsageRecord[]).sort(byId)
}

/** What the aggregator says to this user. */
async function atAggregator(user: User = 'root', ...args: string[]): Promise<UsageRecord[]> {
  const argv = ['acct', '--json', '--aggregator', aggregator.url, ...args]
  const { stdout } = expectSuccess(await hepwrap(user, argv))
  return (JSON.parse(stdout) as UsageRecord[]).sort(byId)
}

const stateOf = ({ id, state }: UsageRecord) => `${id} ${state}`

/** Waits until nothing else runs any more and the aggregator has all of it; then compares each field of each record. */
async function expectTheSame(): Promise<UsageRecord[]> {
  const isSettled = async () => {
    const own = inLedgers()
    const theirs = await atAggregator()
    const isOver = ({ state, name }: UsageRecord) => state !== 'RUNNING' || name === 'timed'
    return own.every(isOver) && isDeepStrictEqual(own.map(stateOf), theirs.map(stateOf))
  }
  // A node that found it down may wait as long again before it tries again.
  await eventually(isSettled, { timeoutMs: 90_000, what: 'all records at the aggregator' })
  const theirs = await atAggregator()
  expect(theirs).toEqual(inLedgers())
  return theirs
}

const named = (list: readonly UsageRecord[], name: string) =>
  list
    .filter((record) => record.name === name)
    .sort((a, b) => (a.node < b.node ? -1 : 1))
    .map(({ node, state, reason, exit_code }) => [node, state, reason, exit_code])

const on = (node: string) => ['-w', node]
/** One run, in a step on that node. */
const runOn = (node: string, name: string, ...command: string[]) =>
  as('alice').srun([
    ...['-Q', '-p', 'shared', '--mem=200M', ...on(node)],
    ...['hepwrap', 'run', '--name', name, 'debian:test', ...command],
  ])
/** The same on all three at once. */
const runOnAll = (name: string, ...command: string[]) =>
  as('alice').srun([
    ...['-Q', '-p', 'shared', '--mem=200M', '-N3', '-n3'],
    ...['hepwrap', 'run', '--name', name, 'debian:test', ...command],
  ])
const startOn = (node: string, name: string, ...command: string[]) =>
  startRun('alice', ['--name', name, 'debian:test', ...command], { slurm: on(node) })
const isStarted = (name: string) =>
  eventually(() => inLedgers().some((row) => row.name === name && row.started_at !== null), {
    what: `the start of ${name}`,
  })

describe('the aggregator', { timeout: 180_000 }, () => {
  it('ACCEPTANCE 31: has the record of every kind of end, on whichever node', async () => {
    await runOnAll('good', 'true')
    await runOn('n2', 'bad', 'sh', '-c', 'exit 3')
    const refused = ['hepwrap', 'run', '--name', 'refused', 'x:y', 'id']
    await as('alice').srun(['-Q', '-p', 'shared', ...on('n3'), ...refused])
    await runOn('n2', 'greedy', 'python3', '-c', 'x = bytearray(400 << 20)')
    const line = 'exec hepwrap run --name cancelled debian:test sleep 300'
    const cancelled = await as('alice').sbatch(line, ['-p', 'shared', ...on('n2')])
    await isStarted('cancelled')
    await as('alice').scancel('--full', '--signal=TERM', cancelled.id)
    const orphaned = startOn('n1', 'orphaned', 'sleep', '300')
    await isStarted('orphaned')
    process.kill((await clientOf('orphaned')).pid, 'SIGKILL')
    const lost = startOn('n2', 'lost', 'sleep', '300')
    await isStarted('lost')
    await daemons.get('n2')!.kill()
    await daemons.get('n2')!.restart()
    await Promise.all([orphaned.result, lost.result])

    const list = await expectTheSame()
    const good = NODES.map((node) => [node, 'COMPLETED', null, 0])
    expect(named(list, 'good')).toEqual(good)
    expect(named(list, 'bad')).toEqual([['n2', 'FAILED', null, 3]])
    expect(named(list, 'refused')).toEqual([['n3', 'REFUSED', 'HW_IMAGE_REFUSED', 125]])
    expect(named(list, 'greedy')).toEqual([['n2', 'OUT_OF_MEMORY', 'HW_OOM_KILLED', 137]])
    expect(named(list, 'cancelled')).toEqual([['n2', 'CANCELLED', 'HW_SIGNALED', 143]])
    // The end of its step races with the daemon's SIGTERM: 143 or 137.
    const [orphan] = named(list, 'orphaned')
    expect(orphan!.slice(0, 3)).toEqual(['n1', 'CANCELLED', 'HW_CLIENT_GONE'])
    expect(named(list, 'lost').map(([node, state]) => [node, state])).toEqual([['n2', 'NODE_FAIL']])
  })

  it('ACCEPTANCE 32 and 33: has of each node what the payload itself measured, and Slurm counted it', async () => {
    const spin = `import os, sys, time
while time.process_time() < 1.2: pass
print(time.process_time(), flush=True)
x = bytearray(64 << 20)
sys.stdin.read()`
    const args = ['-i', '--name', 'spin', 'debian:test', 'python3', '-c', spin]
    const step = startRun('alice', args, { slurm: ['-N3', '-n3', '--mem=200M'] })
    await eventually(() => step.stdoutSoFar().trim().split('\n').length === 3, {
      timeoutMs: 30_000,
    })
    const [job] = inLedgers().filter((row) => row.name === 'spin')
    const argv = ['sstat', '-n', '-P', '-j', `${job!.job_id!}.0`, '--format=AveCPU,NTasks']
    await eventually(
      async () => {
        const { stdout } = expectSuccess(await as('alice').run(argv))
        const [, seconds, tasks] = /^\d\d:\d\d:(\d\d)\|(\d)$/.exec(stdout.trim()) ?? []
        return tasks === '3' && Number(seconds) >= 1
      },
      { what: 'sstat to see three containers' },
    )
    step.child.stdin?.end()
    const { stdout } = await step.result
    const measured = stdout.trim().split('\n').map(Number).sort()
    const list = (await expectTheSame()).filter((record) => record.name === 'spin')
    expect(list.map(({ node }) => node).sort()).toEqual([...NODES])
    const recorded = list
      .map((record) => (record.cpu_user_usec! + record.cpu_system_usec!) / 1e6)
      .sort()
    for (const [index, seconds] of measured.entries()) {
      // What python and its start used before and after it looked at its clock is in the record, too.
      expect(recorded[index]).toBeGreaterThan(seconds * 0.98 - 0.02)
      expect(recorded[index]).toBeLessThan(seconds * 1.02 + 0.15)
    }
    for (const { memory_peak_bytes: peak } of list) {
      expect(peak).toBeGreaterThan(64 * MIB)
      expect(peak).toBeLessThan(96 * MIB)
    }
  })

  it('ACCEPTANCE 34: was down while all nodes worked, and is killed as they send: each record once', async () => {
    await aggregator.kill()
    const before = inLedgers().length
    for (let turn = 0; turn < 4; turn++) await runOnAll(`turn-${turn}`, 'true')
    await daemons.get('n3')!.restart()
    await daemons.get('n2')!.kill()
    await daemons.get('n2')!.restart()
    await runOnAll('last', 'true')
    expect(inLedgers()).toHaveLength(before + 15)
    for (let kill = 0; kill < 3; kill++) {
      await aggregator.restart()
      await aggregator.kill()
    }
    await aggregator.restart()
    await expectTheSame()
    // What still runs has no sums yet.
    const ended = inLedgers().filter(({ state }) => state !== 'RUNNING')
    const [usage] = (await (await askAs('root', aggregator, { path: '/v1/usage' })).json()) as {
      runs: number
    }[]
    expect(usage!.runs).toBe(ended.length)
  })

  it('ACCEPTANCE 34: takes what is repeated and out of order as what it is', async () => {
    const list = await expectTheSame()
    const ofN1 = list.filter(({ node }) => node === 'n1')
    const body = ndjson(ofN1.toReversed())
    for (let time = 0; time < 2; time++) {
      const reply = await askAs('root', aggregator, { method: 'POST', path: '/v1/records', body })
      expect(await reply.json()).toMatchObject({ inserted: 0, changed: 0, duplicates: ofN1.length })
    }
    expect(await atAggregator()).toEqual(list)
  })

  it('ACCEPTANCE 35: shows a user his own of all nodes, and lets him change none', async () => {
    expectSuccess(
      await as('bob').srun([
        '-Q',
        '-p',
        'shared',
        '-N3',
        '-n3',
        'hepwrap',
        'run',
        'busybox:test',
        'true',
      ]),
    )
    const list = await expectTheSame()
    const seen = async (user: User, ...args: string[]) =>
      [
        ...new Set((await atAggregator(user, ...args)).map(({ uid, node }) => `${uid} ${node}`)),
      ].sort()
    expect(await seen('bob')).toEqual(['2002 n1', '2002 n2', '2002 n3'])
    expect(await seen('bob', '--user', 'alice')).toEqual([])
    expect(await seen('alice')).toEqual(['2001 n1', '2001 n2', '2001 n3'])
    const mine = list.find(({ uid }) => uid === 2002)!
    const body = ndjson([{ ...mine, cpu_user_usec: 1 }])
    const reply = await askAs('bob', aggregator, { method: 'POST', path: '/v1/records', body })
    expect(reply.status).toBe(403)
    expect(await atAggregator()).toEqual(list)
  })

  it('ACCEPTANCE 36: serves the nodes and people while others hang, lie and flood', async () => {
    const { hostname, port } = new URL(aggregator.url)
    const opening = 'POST /v1/records HTTP/1.1\r\nhost: x\r\ncontent-length: 99999\r\n'
    const openings = ['', 'GET /v1', opening, `${opening}\r\n{"id":`, '\u0016\u0003\u0001 no HTTP']
    const sockets: Socket[] = []
    for (let index = 0; index < 300; index++) {
      const socket = connect(Number(port), hostname)
      socket.on('error', () => undefined)
      socket.write(openings[index % openings.length]!)
      sockets.push(socket)
    }
    try {
      expectSuccess(await runOnAll('meanwhile', 'true'))
      const list = await expectTheSame()
      expect(named(list, 'meanwhile')).toHaveLength(3)
    } finally {
      sockets.forEach((socket) => socket.destroy())
    }
    for (const node of NODES) expect(daemons.get(node)!.logText()).not.toContain('HW_INTERNAL')
    expect(aggregator.logText()).not.toContain('HW_INTERNAL')
  })
  it('ACCEPTANCE 31: has the record of what its time limit has ended', async () => {
    await waitJob(timed.id, 120_000)
    const isEnded = () => inLedgers().every(({ state }) => state !== 'RUNNING')
    await eventually(isEnded, { what: 'the end of the last record' })
    const list = await expectTheSame()
    expect(named(list, 'timed').map(([node, state]) => [node, state])).toEqual([['n1', 'TIMEOUT']])
  })
})
