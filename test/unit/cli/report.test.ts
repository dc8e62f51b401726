// `hepwrap report` and `hepwrap page` as processes: what they ask the aggregator, and what they print of its answer.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { UsageRow } from '../../../src/wire/report-api.js'
import { buildClient, type BuiltClient } from './support/built-client.js'
import { startClient } from './support/client-process.js'
import { sendJson, startFakeAggregator, type FakeAggregator } from './support/fake-aggregator.js'

let client: BuiltClient
let aggregator: FakeAggregator | undefined
beforeAll(async () => {
  client = await buildClient()
})
afterAll(() => client.remove())
afterEach(async () => {
  await aggregator?.stop()
  aggregator = undefined
})

const alice: UsageRow = {
  user: 'alice',
  runs: 1200,
  failed: 3,
  refused: 2,
  elapsed_ms: 7_200_000_000,
  cpu_usec: 5_400_000_000_000,
  alloc_cpu_usec: 7_200_000_000_000,
  used_cpu_usec: 5_400_000_000_000,
  memory_mib_s: 1024 * 3600 * 10,
  io_read_bytes: 3 * 1024 ** 3,
  io_write_bytes: 1,
}
const refusedOnly: UsageRow = {
  user: null,
  runs: 1,
  failed: 0,
  refused: 1,
  elapsed_ms: 0,
  cpu_usec: 0,
  alloc_cpu_usec: 0,
  used_cpu_usec: 0,
  memory_mib_s: 0,
  io_read_bytes: 0,
  io_write_bytes: 0,
}

async function ask(args: readonly string[], answer: unknown = [alice, refusedOnly], status = 200) {
  const fake = (aggregator = await startFakeAggregator((_, reply) =>
    sendJson(reply, answer, status),
  ))
  const { env, asked } = fake
  const end = await startClient(client.path, '/nonexistent/sock', args, { env }).end
  await fake.stop()
  aggregator = undefined
  return { status: end.status, stdout: end.stdout.toString(), stderr: end.stderr, asked }
}

describe('report', () => {
  it('sums by user in the units of people', async () => {
    const { stdout, asked, status, stderr } = await ask(['report'])
    expect({ asked, status, stderr }).toEqual({
      asked: ['GET /v1/usage?by=user'],
      status: 0,
      stderr: '',
    })
    expect(stdout.split('\n')).toEqual([
      'User              Runs  Failed Refused   CPUHours  WallHours MemGiBHours   Read Written Efficiency',
      'alice             1200       3       2       1500       2000        10.0   3.0G       1      75.0%',
      '                     1       0       1       0.00       0.00        0.00      0       0',
      '',
    ])
  })

  it('gives programs the exact sums', async () => {
    const { stdout } = await ask(['report', 'users', '--json'])
    expect(JSON.parse(stdout)).toEqual([
      { ...alice, efficiency: 0.75 },
      { ...refusedOnly, efficiency: null },
    ])
    const csv = await ask(['report', 'users', '--csv'], [alice])
    expect(csv.stdout).toBe(
      'user,runs,failed,refused,elapsed_ms,cpu_usec,alloc_cpu_usec,used_cpu_usec,memory_mib_s,io_read_bytes,io_write_bytes,efficiency\n' +
        'alice,1200,3,2,7200000000,5400000000000,7200000000000,5400000000000,36864000,3221225472,1,0.75\n',
    )
  })

  it('has field lists, too', async () => {
    const args = ['report', '-Pn', '--format', 'user,cpuhours,allochours,cpu_usec']
    expect((await ask(args, [alice])).stdout).toBe('alice|1500|2000|5400000000000\n')
  })

  it.each([
    [['report', 'accounts', '--by', 'month'], 'by=month,account'],
    [['report', 'users,images'], 'by=user,image'],
    [['report', 'user'], 'by=user'],
    [['report', 'total'], ''],
    [['report', '--top', '5'], 'by=user&sort=cpu_usec&top=5'],
    [['report', '--sort', 'memory'], 'by=user&sort=memory_mib_s&top=100000'],
    [['report', '--sort', 'io_bytes', '--top=1'], 'by=user&sort=io_bytes&top=1'],
    [
      ['report', 'images', '-A', 'atlas', '-S', '2026-01-01', '-s', 'F', '--image', 'a*'],
      'since=2026-01-01T00:00:00.000Z&state=FAILED&account=atlas&image=a*&by=image',
    ],
  ])('%j asks for %s', async (args, query) => {
    const { asked } = await ask(args)
    expect(asked).toEqual([`GET /v1/usage?${query}`])
  })

  it.each([
    ['hour', '2026-01-31T12:00:00.000Z', '2026-01-31T12:00Z'],
    ['day', '2026-01-31T00:00:00.000Z', '2026-01-31'],
    ['week', '2026-01-26T00:00:00.000Z', '2026-01-26'],
    ['month', '2026-01-01T00:00:00.000Z', '2026-01'],
  ])('shows a %s by its begin', async (period, begin, shown) => {
    const { stdout } = await ask(
      ['report', '--by', period, '-Pn', '-o', `${period},user`],
      [{ ...alice, [period]: begin }],
    )
    expect(stdout).toBe(`${shown}|alice\n`)
  })

  it.each([
    [['report', 'usres'], 'report of "usres": did you mean "users"?', 'HW_USAGE'],
    [
      ['report', 'x'],
      'report of "x": one of users, accounts, images, nodes, clusters, states, total',
      'HW_USAGE',
    ],
    [['report', 'users', 'images'], 'report takes one argument, got "images" besides', 'HW_USAGE'],
    [
      ['report', '--by', 'year'],
      '--by "year": must be one of hour, day, week, month',
      'HW_OPTION_INVALID',
    ],
    [['report', '--top', '0'], '--top "0": not a number from 1 to 100000', 'HW_OPTION_INVALID'],
    [
      ['report', '--sort', 'cost'],
      '--sort "cost": must be one of runs, failed, cpu',
      'HW_OPTION_INVALID',
    ],
    [['report', '--job', '1'], 'unknown option "--job"', 'HW_OPTION_UNKNOWN'],
    [['page', 'x'], 'page takes no argument, got "x"', 'HW_USAGE'],
  ])('%j is refused in one line', async (args, text, code) => {
    const { status, stdout, stderr, asked } = await ask(args)
    expect({ status, stdout, asked }).toEqual({ status: 1, stdout: '', asked: [] })
    expect(stderr.startsWith(`hepwrap: ${text}`), stderr).toBe(true)
    expect(stderr).toMatch(new RegExp(`\\(${code}\\)\\n$`))
  })

  it('says that no aggregator is configured', async () => {
    const { status, stderr } = await startClient(client.path, '/nonexistent/sock', ['report']).end
    expect(status).toBe(1)
    expect(stderr).toBe(
      'hepwrap: no aggregator is configured: name one by --aggregator URL, HEPWRAP_AGGREGATOR or [accounting] aggregator (HW_USAGE)\n',
    )
  })

  it('shows the aggregator’s refusal', async () => {
    const refusal = { error: { code: 'HW_OPTION_INVALID', message: 'since "x" is no time' } }
    const { status, stderr } = await ask(['report'], refusal, 400)
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: 'hepwrap: since "x" is no time (HW_OPTION_INVALID)\n',
    })
  })
})

describe('page', () => {
  it('prints the link that signs a browser in', async () => {
    const url = 'http://acct.example:7780/session?code=abc'
    const { status, stdout, asked } = await ask(['page'], { url })
    expect({ status, stdout, asked }).toEqual({
      status: 0,
      stdout: `${url}\n`,
      asked: ['POST /v1/sessions'],
    })
  })
})
