// `hepwrap export` as a process: which records and sums it asks for, and what it writes.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { parseApelMessage } from '../reports/apel-message.js'
import { buildClient, type BuiltClient } from './support/built-client.js'
import { startClient } from './support/client-process.js'
import {
  sendJson,
  sendLines,
  startFakeAggregator,
  type FakeAggregator,
} from './support/fake-aggregator.js'
import { someRecord } from './support/some-record.js'

const node = {
  cluster: 'hepp',
  node: 'n1',
  since: '2026-01-01T00:00:00.000Z',
  threads: 32,
  hepscore: 560,
}
const row = {
  day: '2026-01-31T00:00:00.000Z',
  cluster: 'hepp',
  user: 'alice',
  account: null,
  runs: 1,
}

let client: BuiltClient
let aggregator: FakeAggregator
beforeAll(async () => {
  client = await buildClient()
})
afterAll(() => client.remove())
afterEach(() => aggregator.stop())

async function run(
  args: readonly string[],
  records: readonly unknown[] = [someRecord],
  nodes: readonly unknown[] = [node],
  isOperator = true,
) {
  aggregator = await startFakeAggregator((url, reply) => {
    if (url.pathname === '/v1/whoami')
      return sendJson(reply, { user: 'apel', uid: 990, operator: isOperator })
    if (url.pathname === '/v1/nodes') return sendJson(reply, nodes)
    return url.pathname === '/v1/usage' ? sendJson(reply, [row]) : sendLines(reply, records)
  })
  const { status, stdout, stderr } = await startClient(
    client.path,
    '/nonexistent/sock',
    ['export', ...args],
    {
      env: aggregator.env,
    },
  ).end
  return { status, stdout: stdout.toString(), stderr, asked: aggregator.asked }
}

const APEL = [
  '--format',
  'apel',
  '--site',
  'UKI-EXAMPLE',
  '--since',
  '2026-01-31',
  '--until',
  '2026-02-01',
]

describe('export --format apel', () => {
  it('writes the jobs whose containers ended in the period', async () => {
    const { status, stdout, asked } = await run(
      [...APEL, '--submit-host', 'ce.example:9619/ce', '--vo', 'account'],
      [
        someRecord,
        {
          ...someRecord,
          job_id: 43,
          ended_at: '2026-01-31T00:00:00.000Z',
          started_at: '2026-01-30T23:00:00.000Z',
        },
        {
          ...someRecord,
          job_id: 44,
          ended_at: '2026-01-30T23:59:59.999Z',
          started_at: '2026-01-30T23:00:00.000Z',
        },
        { ...someRecord, job_id: 45, ended_at: '2026-02-01T00:00:00.000Z' },
        { ...someRecord, job_id: 46, ended_at: null, state: 'RUNNING' },
        { ...someRecord, job_id: 47, started_at: null, state: 'REFUSED' },
      ],
    )
    expect(status).toBe(0)
    expect(asked).toEqual([
      'GET /v1/whoami',
      'GET /v1/nodes',
      'GET /v1/records?since=2026-01-31T00:00:00.000Z&until=2026-02-01T00:00:00.000Z',
    ])
    expect(parseApelMessage(stdout)).toMatchObject([
      {
        LocalJobId: '42',
        VO: 'atlas',
        InfrastructureType: 'grid',
        SubmitHost: 'ce.example:9619/ce',
      },
      { LocalJobId: '43', WallDuration: '3600', ServiceLevel: '17.5' },
    ])
  })

  it('refuses by name the nodes of which no HEPscore is known, and writes nothing', async () => {
    const records = [
      someRecord,
      { ...someRecord, job_id: 43, node: 'n2' },
      { ...someRecord, job_id: 44, node: 'n3' },
    ]
    const { status, stdout, stderr } = await run(APEL, records)
    expect({ status, stdout, stderr }).toEqual({
      status: 1,
      stdout: '',
      stderr:
        'hepwrap: no HEPscore23 is known of hepp/n2, hepp/n3; set it there, or give --default-hepscore PER-CORE (HW_HEPSCORE_UNKNOWN)\n',
    })
    await aggregator.stop()
    const given = await run([...APEL, '--default-hepscore', '10.5'], records)
    expect(parseApelMessage(given.stdout).map((one) => one['ServiceLevel'])).toEqual([
      '17.5',
      '10.5',
      '10.5',
    ])
  })

  it('refuses who is no operator: his jobs alone would pass for the site’s', async () => {
    const { status, stdout, stderr, asked } = await run(APEL, [someRecord], [node], false)
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
    expect(stderr).toMatch(
      /^hepwrap: "apel" is no operator of the aggregator .*\(HW_NOT_OPERATOR\)\n$/,
    )
    expect(asked).toEqual(['GET /v1/whoami'])
  })

  it('--outgoing: fills the directory of ssmsend, 1,000 records a message', async () => {
    const records = Array.from({ length: 2001 }, (_, at) => ({ ...someRecord, job_id: at + 1 }))
    const directory = mkdtempSync(join(tmpdir(), 'outgoing-'))
    const { status, stdout } = await run([...APEL, '--outgoing', directory], records)
    expect({ status, stdout }).toEqual({ status: 0, stdout: '2001 job records in 3 messages\n' })
    const [queue = '', ...others] = readdirSync(directory)
    expect(others).toEqual([])
    expect(queue).toMatch(/^[0-9a-f]{8}$/)
    const names = readdirSync(join(directory, queue)).sort()
    for (const name of names) expect(name).toMatch(/^[0-9a-f]{14}$/)
    const sent = names.map((name) =>
      parseApelMessage(readFileSync(join(directory, queue, name), 'utf8')).map(
        (one) => one['LocalJobId'],
      ),
    )
    expect(sent.map((one) => one.length)).toEqual([1000, 1000, 1])
    expect(sent.flat()).toEqual(records.map(({ job_id }) => String(job_id)))
    rmSync(directory, { recursive: true })
  })

  it('--outgoing: says where it cannot write', async () => {
    const { status, stderr } = await run([...APEL, '--outgoing', '/proc/nowhere'])
    expect(status).toBe(1)
    expect(stderr).toMatch(/^hepwrap: --outgoing "\/proc\/nowhere": ENOENT.* \(HW_USAGE\)\n$/)
  })

  it('is a message without records where there are none', async () => {
    expect((await run(APEL, [])).stdout).toBe('APEL-individual-job-message: v0.3\n')
  })
})

describe('export --format csv and ndjson', () => {
  it('writes the sums, exact, with a head', async () => {
    const { stdout, asked } = await run(['--format', 'csv', '--since', '2026-01-01', '-A', 'atlas'])
    expect(asked).toEqual([
      'GET /v1/usage?since=2026-01-01T00:00:00.000Z&account=atlas&by=day,cluster,user,account',
    ])
    expect(stdout.split('\n').slice(0, 2)).toEqual([
      'day,cluster,user,account,runs,failed,refused,elapsed_ms,cpu_usec,alloc_cpu_usec,used_cpu_usec,memory_mib_s,io_read_bytes,io_write_bytes,efficiency',
      '2026-01-31T00:00:00.000Z,hepp,alice,,1,,,,,,,,,,',
    ])
  })

  it('one JSON object a line', async () => {
    const { stdout, asked } = await run([
      '--format',
      'ndjson',
      '--since',
      '2026-01-01',
      '--by',
      'month,image',
    ])
    expect(asked[0]).toMatch(/&by=month,image$/)
    expect(JSON.parse(stdout.trimEnd())).toMatchObject({ month: null, image: null, runs: 1 })
  })
})

it.each([
  [[], '--format "": must be one of apel, csv, ndjson', 'HW_OPTION_INVALID'],
  [['--format', 'apel'], 'export needs --since TIME', 'HW_USAGE'],
  [
    ['--format', 'apel', '--since', 'now-1day'],
    "--format apel needs --site NAME, the site's name",
    'HW_USAGE',
  ],
  [[...APEL, '--site', 'a b'], '--site "a b": must be 1 to 255 printable', 'HW_OPTION_INVALID'],
  [[...APEL, '--submit-host', 'a%%'], '--submit-host "a%%": must be', 'HW_OPTION_INVALID'],
  [
    [...APEL, '--vo', 'fqan'],
    '--vo "fqan": must be one of none, account, group',
    'HW_OPTION_INVALID',
  ],
  [
    [...APEL, '--default-hepscore', '0'],
    '--default-hepscore "0": not the HEPscore23 of one core',
    'HW_OPTION_INVALID',
  ],
  [[...APEL, '--by', 'day'], '--by "day": is for sums', 'HW_OPTION_INVALID'],
  [
    ['--format', 'csv', '--since', 'now', '--by', 'year'],
    '--by "year": not a list like',
    'HW_OPTION_INVALID',
  ],
])('export %j is refused in one line', async (args, text, code) => {
  const { status, stdout, stderr, asked } = await run(args)
  expect({ status, stdout, asked }).toEqual({ status: 1, stdout: '', asked: [] })
  expect(stderr.startsWith(`hepwrap: ${text}`), stderr).toBe(true)
  expect(stderr).toMatch(new RegExp(`\\(${code}\\)\\n$`))
})
