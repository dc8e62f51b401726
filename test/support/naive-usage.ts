// Usage counted the plain way, record by record, with whole numbers of any size: what the rollups must agree with.
import { expect } from 'vitest'
import type { Store } from '../../src/store/store.js'
import type { UsageKey, UsageSums } from '../../src/wire/report-api.js'
import { USAGE_SUMS } from '../../src/wire/usage-sums.js'
import type { UsageRecord } from '../../src/wire/usage-api.js'

type Row = Record<string, unknown>
type Sums = { -readonly [Field in keyof UsageSums]: number }

export function naiveUsage(records: readonly UsageRecord[], by: readonly UsageKey[]): Row[] {
  const groups = new Map<string, { keys: Row; sums: Sums }>()
  for (const record of records) {
    if (record.state === 'RUNNING') continue
    const ended = record.ended_at ?? record.started_at ?? record.created_at
    const keys = Object.fromEntries(by.map((key) => [key, keyOf(record, ended, key)]))
    const name = JSON.stringify(keys)
    const known = groups.get(name)?.sums
    const sums = sumsOf(record)
    for (const field of USAGE_SUMS) sums[field] += known?.[field] ?? 0
    groups.set(name, { keys, sums })
  }
  return [...groups.values()].map(({ keys, sums }) => ({ ...keys, ...sums }))
}

function keyOf(record: UsageRecord, ended: string, key: UsageKey): string | null {
  // eslint-disable-next-line @typescript-eslint/switch-exhaustiveness-check -- the rest are fields
  switch (key) {
    case 'hour':
      return `${ended.slice(0, 13)}:00:00.000Z`
    case 'day':
      return `${ended.slice(0, 10)}T00:00:00.000Z`
    case 'month':
      return `${ended.slice(0, 7)}-01T00:00:00.000Z`
    case 'week': {
      const date = new Date(`${ended.slice(0, 10)}T00:00:00.000Z`)
      while (date.getUTCDay() !== 1) date.setUTCDate(date.getUTCDate() - 1)
      return date.toISOString()
    }
    default:
      return record[key]
  }
}

// eslint-disable-next-line complexity -- each measure may be missing
function sumsOf(record: UsageRecord): Sums {
  const elapsed =
    record.started_at === null || record.ended_at === null
      ? null
      : Math.max(0, Date.parse(record.ended_at) - Date.parse(record.started_at))
  const cpu = (record.cpu_user_usec ?? 0) + (record.cpu_system_usec ?? 0)
  const allocated =
    elapsed === null || record.cpus === null ? null : Math.round(elapsed * 1000 * record.cpus)
  return {
    runs: 1,
    failed: ['FAILED', 'TIMEOUT', 'OUT_OF_MEMORY', 'NODE_FAIL'].includes(record.state) ? 1 : 0,
    refused: record.state === 'REFUSED' ? 1 : 0,
    elapsed_ms: elapsed ?? 0,
    cpu_usec: cpu,
    alloc_cpu_usec: allocated ?? 0,
    used_cpu_usec: allocated === null ? 0 : cpu,
    memory_mib_s: Math.round(
      ((record.memory_peak_bytes ?? 0) / 1_048_576) * ((elapsed ?? 0) / 1000),
    ),
    io_read_bytes: record.io_read_bytes ?? 0,
    io_write_bytes: record.io_write_bytes ?? 0,
  }
}

const QUESTIONS: readonly (readonly UsageKey[])[] = [
  [],
  ['user'],
  ['account'],
  ['image'],
  ['node'],
  ['state'],
  ['cluster', 'hour'],
  ['user', 'day'],
  ['node', 'week'],
  ['image', 'month'],
  ['node', 'state', 'month'],
  ['user', 'account', 'image', 'state', 'week'],
]

/** Reports nothing where the store's rollups are the sums of these records, by every key and period. */
export async function expectSumsOf(store: Store, records: readonly UsageRecord[]): Promise<void> {
  for (const by of QUESTIONS) {
    const rows = await store.usage({ by, filter: {}, top: undefined }, { uid: undefined })
    expect(new Set(rows.map(sorted)), by.join()).toEqual(
      new Set(naiveUsage(records, by).map(sorted)),
    )
    expect(rows).toHaveLength(naiveUsage(records, by).length)
  }
}

const sorted = (row: object): string =>
  JSON.stringify(Object.fromEntries(Object.entries(row).sort(([a], [b]) => (a < b ? -1 : 1))))

export async function allRecords(store: Store): Promise<UsageRecord[]> {
  const records: UsageRecord[] = []
  for (let after: string | undefined; ;) {
    const page = await store.records({}, { uid: undefined }, { after, limit: 1000 })
    records.push(...page.records)
    if (page.next === undefined) return records
    after = page.next
  }
}
