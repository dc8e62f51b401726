import { describe, expect, it } from 'vitest'
import { jobLine, laneOf } from '../../../src/page/job-bars.js'
import type { UsageRecord } from '../../../src/wire/usage-api.js'
import { madeUpRecord } from '../../integration/page/made-up-usage.js'

const T0 = Date.parse('2026-11-20T12:00:00Z')
const time = (seconds: number) => new Date(T0 + seconds * 1000).toISOString()
const NOW = T0 + 3600_000

const record = (more: Partial<UsageRecord>): UsageRecord =>
  madeUpRecord(
    {
      id: 'a',
      job_id: 7,
      user: 'alice',
      uid: 2001,
      account: null,
      image: 'debian:12',
      node: 'n1',
      state: 'COMPLETED',
      endedMs: T0,
      elapsedMs: 1,
    },
    {
      created_at: time(0),
      started_at: time(70),
      ended_at: time(100),
      pull_ms: 60_000,
      setup_ms: 10_000,
      ...more,
    },
  )

const partsOf = (more: Partial<UsageRecord>) => {
  const { bars, moments } = jobLine([record(more)], NOW)
  const seconds = (ms: number) => (ms - T0) / 1000
  return [...bars, ...moments].map(({ part, from, to }) => [part, seconds(from), seconds(to)])
}

describe('a container on the time line', () => {
  it.each<[string, Partial<UsageRecord>, unknown]>([
    [
      'pulled, set up, ran',
      {},
      [
        ['pull', 0, 60],
        ['setup', 60, 70],
        ['COMPLETED', 70, 100],
      ],
    ],
    [
      'found its image',
      { pull_ms: null },
      [
        ['setup', 0, 70],
        ['COMPLETED', 70, 100],
      ],
    ],
    [
      'runs',
      { state: 'RUNNING', ended_at: null, pull_ms: null, started_at: time(1) },
      [
        ['setup', 0, 1],
        ['RUNNING', 1, 3600],
      ],
    ],
    [
      'is being set up',
      { state: 'RUNNING', ended_at: null, started_at: null },
      [
        ['pull', 0, 60],
        ['setup', 60, 3600],
      ],
    ],
    [
      'failed before it began',
      { state: 'FAILED', started_at: null, ended_at: time(62) },
      [
        ['pull', 0, 60],
        ['setup', 60, 62],
        ['FAILED', 62, 62],
      ],
    ],
    [
      'was refused',
      { state: 'REFUSED', started_at: null, ended_at: time(0), pull_ms: null },
      [['REFUSED', 0, 0]],
    ],
    [
      'pulled for longer than it lived, says a record',
      { pull_ms: 900_000 },
      [
        ['pull', 0, 70],
        ['COMPLETED', 70, 100],
      ],
    ],
  ])('%s', (_, more, parts) => expect(partsOf(more)).toEqual(parts))
})

describe('lanes', () => {
  it('are by node and task as people count, one for each task', () => {
    const line = jobLine(
      [
        record({ id: '1', node: 'wn10', task: 0 }),
        record({ id: '2', node: 'wn2', task: 10 }),
        record({ id: '3', node: 'wn2', task: 9, created_at: time(5) }),
        record({ id: '4', node: 'wn2', task: 9, created_at: time(1) }),
      ],
      NOW,
    )
    expect(line.lanes).toEqual(['wn2 · 0.9', 'wn2 · 0.10', 'wn10 · 0.0'])
    expect(line.records.map(({ id }) => id)).toEqual(['4', '3', '2', '1'])
    expect([...new Set(line.bars.map(({ lane }) => lane))]).toEqual([0, 1, 2])
    expect([line.fromMs, line.toMs]).toEqual([T0, T0 + 100_000])
  })

  it('name the cluster where two have a job of this number', () => {
    const line = jobLine([record({ cluster: 'b' }), record({ cluster: 'a' })], NOW)
    expect(line.lanes).toEqual(['a · n1 · 0.0', 'b · n1 · 0.0'])
  })

  it.each<[Partial<UsageRecord>, string]>([
    [{ array_job_id: 41, array_task_id: 3 }, '41_3 · n1 · 0.0'],
    [{ het_offset: 1 }, '7+1 · n1 · 0.0'],
    [{ step_id: 'batch', task: null }, 'n1 · batch'],
    [{ step_id: null, task: null }, 'n1 · –'],
    [{ restart_count: 2 }, 'restart 2 · n1 · 0.0'],
  ])('of %j: %s', (more, label) => expect(laneOf(record(more))).toBe(label))
})
