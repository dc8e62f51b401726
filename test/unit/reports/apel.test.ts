// Containers as job records of the EGI accounting.
import { describe, expect, it } from 'vitest'
import { APEL_HEADER, collectApelJobs, scoresOf, type ApelSite } from '../../../src/reports/apel.js'
import type { NodeRow } from '../../../src/wire/ingest-api.js'
import type { UsageRecord } from '../../../src/wire/usage-api.js'
import { someRecord } from '../cli/support/some-record.js'
import { parseApelMessage } from './apel-message.js'

const site: ApelSite = {
  site: 'UKI-EXAMPLE',
  submitHost: undefined,
  vo: 'none',
  infrastructure: 'local',
}
const facts: NodeRow = {
  cluster: 'hepp',
  node: 'n1',
  since: '2026-01-01T00:00:00.000Z',
  cpu_model: null,
  sockets: 1,
  cores: 16,
  threads: 32,
  memory_bytes: null,
  kernel: null,
  os: null,
  engine: null,
  engine_version: null,
  hepwrap_version: '0',
  hepscore: 560,
}

/** 12:00:00 and so many seconds. */
const at = (seconds: number) =>
  new Date(Date.parse('2026-01-31T12:00:00Z') + seconds * 1000).toISOString()
const ran = (from: number, to: number, change: Partial<UsageRecord> = {}): UsageRecord => ({
  ...someRecord,
  started_at: at(from),
  ended_at: at(to),
  ...change,
})

function message(
  records: readonly UsageRecord[],
  {
    nodes = [facts],
    where = site,
    perCore,
  }: { nodes?: NodeRow[]; where?: ApelSite; perCore?: number } = {},
) {
  const jobs = collectApelJobs(scoresOf(nodes, perCore))
  for (const record of records) jobs.add(record)
  const text = `${APEL_HEADER}\n${[...jobs.records(where)].join('')}`
  return { text, records: parseApelMessage(text), unknown: [...jobs.unknownNodes] }
}

describe('a job', () => {
  it('of one container has its times, usage and the worth of a core', () => {
    const { text } = message([someRecord])
    expect(text).toBe(`APEL-individual-job-message: v0.3
Site: UKI-EXAMPLE
MachineName: hepp
Queue: main
LocalJobId: 42
LocalUserId: alice
WallDuration: 60
CpuDuration: 90
Processors: 2
NodeCount: 1
StartTime: 1769860801
EndTime: 1769860861
InfrastructureDescription: APEL-HEPWRAP-SLURM
InfrastructureType: local
MemoryReal: 1572864
ServiceLevelType: HEPscore23
ServiceLevel: 17.5
%%
`)
  })

  it('of several is one record: time covered once, cpu summed, the most memory, a step’s CPUs once', () => {
    const { records } = message([
      ran(0, 100, { id: 'a' }),
      ran(50, 150, { id: 'b', memory_peak_bytes: 2 ** 31 }),
      ran(60, 70, { id: 'c', cpus: 4 }),
      ran(1000, 1010, { id: 'd', cpu_user_usec: null, cpu_system_usec: null }),
    ])
    expect(records).toMatchObject([
      {
        LocalJobId: '42',
        WallDuration: '160',
        CpuDuration: '270',
        Processors: '4',
        NodeCount: '1',
        MemoryReal: String(2 ** 21),
        StartTime: String(Date.parse(at(0)) / 1000),
        EndTime: String(Date.parse(at(1010)) / 1000),
      },
    ])
  })

  it('on several nodes has the CPUs of all, and the mean of their worth', () => {
    const better = { ...facts, node: 'n2', hepscore: 1120 }
    const { records } = message([ran(0, 100), ran(0, 300, { id: 'b', node: 'n2' })], {
      nodes: [facts, better],
    })
    // 100 s × 17.5 and 300 s × 35
    expect(records).toMatchObject([{ NodeCount: '2', Processors: '4', ServiceLevel: '30.625' }])
  })

  it('is one a job, cluster, or container outside of any job', () => {
    const { records } = message(
      [
        ran(0, 1, { job_id: 1 }),
        ran(0, 1, { job_id: 1, cluster: 'other' }),
        ran(0, 1, { job_id: null, id: 'lone' }),
        ran(0, 1, { job_id: 2, state: 'REFUSED', started_at: null }),
      ],
      { perCore: 1 },
    )
    expect(records.map((record) => `${record['MachineName']} ${record['LocalJobId']}`)).toEqual([
      'hepp 1',
      'other 1',
      'hepp lone',
    ])
  })

  it('has a VO where the site says what stands for one', () => {
    const vo = (which: ApelSite['vo']) =>
      message([someRecord], { where: { ...site, vo: which, submitHost: 'ce.example' } }).records[0]
    expect(vo('account')).toMatchObject({ VO: 'atlas', SubmitHost: 'ce.example' })
    expect(vo('group')).toMatchObject({ VO: 'users' })
    expect(vo('none')).not.toHaveProperty('VO')
  })

  it('cannot be forged by a name in a record', () => {
    const { records } = message(
      [{ ...someRecord, user: 'eve\n%%%\nSite: OTHER', account: 'a%%%%b', partition: '\u2028x' }],
      { where: { ...site, vo: 'account' } },
    )
    expect(records).toHaveLength(1)
    expect(records[0]).toMatchObject({
      Site: 'UKI-EXAMPLE',
      LocalUserId: 'eve % % % Site: OTHER',
      VO: 'a% % % %b',
    })
  })

  it('of no measurable length, or part of a CPU, is one all the same', () => {
    expect(message([ran(0, 0, { cpus: 0.5 })]).records).toMatchObject([
      { WallDuration: '0', Processors: '1', ServiceLevel: '17.5' },
    ])
    expect(message([ran(5, 0, { cpus: null })]).records).toMatchObject([{ WallDuration: '0' }])
  })
})

describe('the worth of a core', () => {
  it('is that of the time', () => {
    const later = { ...facts, since: at(50), hepscore: 640 }
    const { records } = message(
      [
        ran(0, 49, { job_id: 1 }),
        ran(0, 50, { job_id: 2 }),
        ran(-90_000_000, -89_999_999, { job_id: 3 }),
      ],
      { nodes: [later, facts] },
    )
    expect(records.map((record) => record['ServiceLevel'])).toEqual(['17.5', '20', '17.5'])
  })

  it.each([
    ['no score', { hepscore: null }],
    ['no number of threads', { threads: null }],
    ['another node', { node: 'n9' }],
    ['another cluster', { cluster: 'c' }],
  ])('is not known of a node of %s, or is the default', (_, change) => {
    const nodes = [{ ...facts, ...change }]
    const jobs = collectApelJobs(scoresOf(nodes, undefined))
    jobs.add(someRecord)
    expect([...jobs.unknownNodes]).toEqual(['hepp/n1'])
    const known = message([someRecord], { nodes, perCore: 12.5 })
    expect(known.unknown).toEqual([])
    expect(known.records).toMatchObject([{ ServiceLevel: '12.5' }])
  })
})
