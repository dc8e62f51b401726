// Who used what, on all nodes: acct, report, export and the page's link from the aggregator, for users and operators.
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { UsageRow } from '../../src/wire/report-api.js'
import type { UsageRecord } from '../../src/wire/usage-api.js'
import { parseApelMessage } from '../unit/reports/apel-message.js'
import { ndjson, usageRecord } from '../support/usage-record.js'
import {
  type Aggregator,
  newToken,
  startAggregator,
  stopAggregators,
  writeToken,
} from '../world/aggregator.js'
import { startDaemon, stopDaemons } from '../world/daemon.js'
import { eventually } from '../world/eventually.js'
import { as, expectSuccess, type Result, type User } from '../world/world.js'
import { hepwrapRuns } from './job-runs.js'

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/
const RUNS = 5

let aggregator: Aggregator

beforeAll(async () => {
  aggregator = await startAggregator()
  await startDaemon({
    config: { accounting: { aggregator: aggregator.url, auth: 'munge' }, node: { hepscore: 35 } },
  })
  const burn = 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done'
  await hepwrapRuns('alice', [
    ['--name', 'burn', 'busybox:test', 'sh', '-c', burn],
    ['--name', 'fail', 'busybox:test', 'false'],
    ['--name', 'refused', 'forbidden:image', 'true'],
  ])
  await hepwrapRuns('bob', [
    ['--name', 'bobs', 'busybox:test', 'true'],
    ['--name', 'debs', 'debian:test', 'true'],
  ])
  await eventually(async () => (await records('root')).filter(isOver).length === RUNS, {
    what: 'all records at the aggregator',
  })
})
afterAll(async () => {
  await stopDaemons()
  await stopAggregators()
})

const hepwrap = (user: User, ...args: string[]): Promise<Result> =>
  as(user).run(['hepwrap', ...args], { env: { HEPWRAP_AGGREGATOR: aggregator.url } })

const printed = async (user: User, ...args: string[]): Promise<string> =>
  expectSuccess(await hepwrap(user, ...args)).stdout

const records = async (user: User, ...args: string[]) =>
  JSON.parse(await printed(user, 'acct', '--json', ...args)) as UsageRecord[]

const isOver = ({ state }: UsageRecord) => state !== 'RUNNING'

const names = async (user: User, ...args: string[]): Promise<string[]> =>
  (await printed(user, 'acct', '-Pno', 'jobname', ...args)).split('\n').filter(Boolean).sort()

describe('acct, from the aggregator', () => {
  it('a user sees his own, an operator all', async () => {
    expect(await names('alice')).toEqual(['burn', 'fail', 'refused'])
    expect(await names('bob')).toEqual(['bobs', 'debs'])
    expect(await names('root')).toEqual(['bobs', 'burn', 'debs', 'fail', 'refused'])
  })

  it('a user who asks for another’s gets nothing, and is told so where he asks for all', async () => {
    expect(await names('bob', '-u', 'alice')).toEqual([])
    const { status, stdout, stderr } = await hepwrap('bob', 'acct', '--allusers')
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
    expect(stderr).toMatch(/^hepwrap: --allusers: .*\(HW_NOT_OPERATOR\)\n$/)
    expect(await names('root', '-a', '-u', 'alice')).toEqual(['burn', 'fail', 'refused'])
  })

  it('filters in sacct’s words', async () => {
    expect(await names('root', '--starttime', 'now-1hours', '--endtime', 'now')).toHaveLength(RUNS)
    expect(await names('root', '-S', 'now+1hour')).toEqual([])
    expect(await names('root', '-s', 'F,REFUSED')).toEqual(['fail', 'refused'])
    expect(await names('root', '--image', 'debian*,forbidden*')).toEqual(['debs', 'refused'])
    expect(
      await names('root', '-u', 'alice,2002', '-N', 'n?', '-M', 'hepp', '-r', 'main'),
    ).toHaveLength(RUNS)
    expect(await names('root', '-N', 'n2')).toEqual([])
  })

  it('prints what was asked for, and says what it does not know', async () => {
    const text = await printed(
      'alice',
      'acct',
      '-Pn',
      '--format',
      'jobid,state,start,elapsed,totalcpu,node',
    )
    const [job, state, start, elapsed, cpu, node] = text.split('\n')[0]?.split('|') ?? []
    expect(job).toMatch(/^\d+\.0$/)
    expect({ state, node }).toEqual({ state: 'COMPLETED', node: 'n1' })
    expect(start).toMatch(TIME)
    expect(elapsed).toMatch(/^00:00:\d\d$/)
    expect(cpu).toMatch(/^00:\d\d\.\d{3}$/)
    const { status, stderr } = await hepwrap('alice', 'acct', '--format', 'jobid,node,nodee')
    expect(status).toBe(1)
    expect(stderr).toBe(
      'hepwrap: --format "nodee": no such field; did you mean "Node"? (HW_OPTION_INVALID)\n',
    )
  })

  it('is the node’s own ledger with --local, also while the aggregator is down', async () => {
    await aggregator.stop()
    const { status, stdout, stderr } = await hepwrap('alice', 'acct')
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
    expect(stderr).toMatch(
      /^hepwrap: the aggregator .* "hepwrap acct --local" shows .*\(HW_AGGREGATOR_DOWN\)\n$/,
    )
    expect(await names('alice', '--local')).toEqual(['burn', 'fail', 'refused'])
    await aggregator.restart()
    expect(await names('alice')).toEqual(['burn', 'fail', 'refused'])
  })
})

describe('report', () => {
  const rows = async (user: User, ...args: string[]) =>
    JSON.parse(await printed(user, 'report', ...args, '--json')) as UsageRow[]

  it('sums what each user, account, image … used', async () => {
    const users = await rows('root', 'users')
    expect(users).toMatchObject([
      { user: 'alice', runs: 3, failed: 1, refused: 1 },
      { user: 'bob', runs: 2, failed: 0, refused: 0 },
    ])
    const ofAlice = await records('alice')
    const cpu = ofAlice.map((one) => (one.cpu_user_usec ?? 0) + (one.cpu_system_usec ?? 0))
    expect(users[0]?.cpu_usec).toBe(cpu.reduce((sum, one) => sum + one, 0))
    expect(await rows('root', 'images')).toMatchObject([
      { image: 'busybox:test', runs: 3 },
      { image: 'debian:test', runs: 1 },
      { image: 'forbidden:image', runs: 1, refused: 1 },
    ])
    expect(await rows('root', 'nodes')).toMatchObject([{ node: 'n1', runs: RUNS }])
    expect(await rows('root', 'total')).toMatchObject([{ runs: RUNS, failed: 1, refused: 1 }])
  })

  it('by periods, sorted, and the top of them', async () => {
    const begin = new Date().toISOString().slice(0, 7)
    expect(await rows('root', 'users', '--by', 'month')).toMatchObject([
      { user: 'alice', month: `${begin}-01T00:00:00.000Z` },
      { user: 'bob' },
    ])
    expect(await rows('root', 'users', '--top', '1', '--sort', 'runs')).toMatchObject([
      { user: 'alice' },
    ])
  })

  it('of a user: his own', async () => {
    expect(await rows('bob', 'users')).toMatchObject([{ user: 'bob', runs: 2 }])
    expect(await rows('bob', 'users', '-u', 'alice')).toEqual([])
  })

  it('as a table, for people', async () => {
    const [head, first] = (await printed('root', 'report')).split('\n')
    expect(head).toMatch(
      /^User +Runs +Failed +Refused +CPUHours +WallHours +MemGiBHours +Read +Written +Efficiency$/,
    )
    expect(first).toMatch(/^alice +3 +1 +1 +0\.\d\d +0\.\d\d /)
  })

  it('says what it cannot understand', async () => {
    const { status, stderr } = await hepwrap('root', 'report', '-s', 'NOTHING')
    expect(status).toBe(1)
    expect(stderr).toMatch(/^hepwrap: --state "NOTHING": must be one of .*\(HW_OPTION_INVALID\)\n$/)
  })
})

describe('export', () => {
  it('--format apel: a record of each job that ran containers, normalised by the node’s score', async () => {
    const { stdout: threads } = expectSuccess(await as('root').run(['nproc', '--all']))
    const args = ['export', '--format', 'apel', '--site', 'UKI-EXAMPLE', '--since', 'now-1day']
    const exported = await eventually(
      async () => parseApelMessage(await printed('root', ...args)),
      {
        what: "the node's facts at the aggregator",
      },
    )
    const ran = (await records('root')).filter(({ started_at }) => started_at !== null)
    const jobs = [...new Set(ran.map(({ job_id }) => String(job_id)))]
    expect(exported.map((one) => one['LocalJobId'])).toEqual(jobs)
    expect(exported[0]).toMatchObject({
      Site: 'UKI-EXAMPLE',
      MachineName: 'hepp',
      Queue: 'main',
      LocalUserId: 'alice',
      Processors: '1',
      NodeCount: '1',
      InfrastructureType: 'local',
      ServiceLevelType: 'HEPscore23',
      ServiceLevel: String(Number((35 / Number(threads)).toFixed(4))),
    })
  })

  it('--format csv and ndjson: the sums', async () => {
    const lines = (
      await printed('root', 'export', '--format', 'csv', '--since', 'now-1day', '--by', 'user')
    ).split('\n')
    expect(lines[0]).toMatch(/^user,runs,failed,refused,elapsed_ms,cpu_usec,/)
    expect(lines[1]).toMatch(/^alice,3,1,1,/)
    const text = await printed(
      'root',
      'export',
      '--format',
      'ndjson',
      '--since',
      'now-1day',
      '--by',
      'user',
    )
    expect(
      text
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as UsageRow),
    ).toMatchObject([
      { user: 'alice', runs: 3 },
      { user: 'bob', runs: 2 },
    ])
  })
})

describe('where there is no MUNGE', () => {
  it('a token over TLS does: each holder sees what is his', async () => {
    const tokens = {
      'node hepp/n7': newToken(),
      'user user:2001': newToken(),
      'operator user:0': newToken(),
    }
    const { url, caFile } = await startAggregator({ tls: true, tokens })
    const body = ndjson([
      usageRecord({ node: 'n7', name: 'hers' }),
      usageRecord({ node: 'n7', name: 'his', user: 'bob', uid: 2002 }),
    ])
    await sendByToken(url, caFile, tokens['node hepp/n7'], body)
    const acctWith = (token: string) => {
      const files = ['--token-file', writeToken(token), '--ca-file', caFile]
      return as('root').run(['hepwrap', 'acct', '--aggregator', url, ...files, '-Pno', 'jobname'])
    }
    expect((await acctWith(tokens['user user:2001'])).stdout).toBe('hers\n')
    const all = (await acctWith(tokens['operator user:0'])).stdout
    expect(all.trim().split('\n').sort()).toEqual(['hers', 'his'])
    const { status, stderr } = await acctWith(newToken())
    expect(status).toBe(1)
    expect(stderr).toMatch(/\(HW_CREDENTIAL_INVALID\)\n$/)
  })
})

/** As the node would. */
async function sendByToken(
  url: string,
  caFile: string,
  token: string,
  body: string,
): Promise<void> {
  const { status, text } = await new Promise<{ status: number | undefined; text: string }>(
    (resolve, reject) => {
      const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/x-ndjson' }
      const path = `${url}/v1/records?cluster=hepp&node=n7`
      request(path, { method: 'POST', headers, ca: readFileSync(caFile) }, (reply) => {
        let read = ''
        reply.on('data', (chunk: Buffer) => (read += chunk.toString()))
        reply.on('end', () => resolve({ status: reply.statusCode, text: read }))
      })
        .on('error', reject)
        .end(body)
    },
  )
  expect({ status, text }).toMatchObject({ status: 200 })
}

describe('page', () => {
  it('prints a link that signs a browser in once, as who asked', async () => {
    const link = (await printed('bob', 'page')).trim()
    expect(link).toMatch(new RegExp(`^${aggregator.url}/session\\?code=\\S+$`))
    const reply = await fetch(link, { redirect: 'manual' })
    const cookie = reply.headers.get('set-cookie')?.split(';')[0] ?? ''
    const whoami = await fetch(`${aggregator.url}/v1/whoami`, { headers: { cookie } })
    expect(await whoami.json()).toMatchObject({ user: 'bob', uid: 2002, operator: false })
    const again = await fetch(link, { redirect: 'manual' })
    expect(again.headers.get('set-cookie')).toBeNull()
  })
})
