// Usage counted from the records themselves, for the questions that no rollup has the keys for (who used which node):
// the same sums, by the same code, over what has not expired yet.
import { rfc3339 } from '../base/clock.js'
import type { UsageRow, UsageSums } from '../wire/report-api.js'
import { USAGE_SUMS } from '../wire/usage-sums.js'
import { contributionOf, type Sums } from './contribution.js'
import { anyOf, type Dialect } from './dialect.js'
import { beginOf, HOUR_MS } from './periods.js'
import { ENTITY_KEYS } from './rollup.js'
import type { StoreScope, UsageQuestion, UsageSort } from './store.js'
import { AT, STORED_COLUMNS, type StoredColumn, type StoredRow } from './stored-row.js'
import { namedIn, type UsagePlan } from './usage-plan.js'
import { refuseTooMany, type Sql } from './usage-sql.js'

const COUNTED: ReadonlySet<StoredColumn> = new Set<StoredColumn>([
  ...ENTITY_KEYS,
  'started_at',
  'ended_at',
  'closed_ms',
  'cpus',
  'cpu_user_usec',
  'cpu_system_usec',
  'memory_peak_bytes',
  'io_read_bytes',
  'io_write_bytes',
])

/** Rows in the places of a stored row, empty where they do not count. */
export function rawUsageSql(
  { filter }: UsageQuestion,
  { uid }: StoreScope,
  { span }: UsagePlan,
  dialect: Dialect,
): Sql {
  const binding = dialect.binding()
  const conditions = ['closed_ms IS NOT NULL']
  if (Number.isFinite(span.from))
    conditions.push(`closed_ms >= ${binding.bind(span.from * HOUR_MS)}`)
  if (Number.isFinite(span.to)) conditions.push(`closed_ms < ${binding.bind(span.to * HOUR_MS)}`)
  if (uid !== undefined) conditions.push(`uid = ${binding.bind(uid)}`)
  for (const [column, names] of namedIn(filter))
    conditions.push(anyOf(dialect, binding, `"${column}"`, names))
  const columns = STORED_COLUMNS.map((column) => (COUNTED.has(column) ? `"${column}"` : 'NULL'))
  return {
    text: `SELECT ${columns.join(', ')} FROM records WHERE ${conditions.join(' AND ')}`,
    values: binding.values,
  }
}

interface Group {
  readonly period: number
  readonly names: readonly (string | null)[]
  readonly sums: Sums
}

export interface RawUsage {
  count(row: StoredRow): void
  rows(): readonly UsageRow[]
}

export function createRawUsage({ top }: UsageQuestion, { keys, period }: UsagePlan): RawUsage {
  const groups = new Map<string, Group>()
  return {
    count: (row) => {
      const contribution = contributionOf(row)
      if (contribution === undefined) return
      const begin = period === undefined ? 0 : beginOf(period, contribution.hour)
      const names = keys.map((key) => (row[AT[key]] ?? null) as string | null)
      const key = JSON.stringify([begin, names])
      const group = groups.get(key)
      if (group === undefined) {
        groups.set(key, { period: begin, names, sums: contribution.sums })
        refuseTooMany(groups.size)
      } else
        contribution.sums.forEach((sum, index) => {
          group.sums[index] = (group.sums[index] ?? 0) + sum
        })
    },
    rows: () => {
      const sorted = [...groups.values()].sort(byOrder(top?.sort))
      const shown = top === undefined ? sorted : topOf(sorted, top.count)
      return shown.map(({ period: begin, names, sums }) => ({
        ...(period === undefined ? {} : { [period]: rfc3339(begin * HOUR_MS) }),
        ...Object.fromEntries(keys.map((key, index) => [key, names[index] ?? null])),
        ...(Object.fromEntries(
          USAGE_SUMS.map((field, index) => [field, sums[index] ?? 0]),
        ) as Record<keyof UsageSums, number>),
      }))
    },
  }
}

const sum = ({ sums }: Group, field: keyof UsageSums) => sums[USAGE_SUMS.indexOf(field)] ?? 0

const sortValue = (group: Group, sort: UsageSort): number =>
  sort === 'io_bytes'
    ? sum(group, 'io_read_bytes') + sum(group, 'io_write_bytes')
    : sum(group, sort)

const byOrder =
  (sort: UsageSort | undefined) =>
  (one: Group, other: Group): number =>
    one.period - other.period ||
    (sort === undefined ? 0 : sortValue(other, sort) - sortValue(one, sort)) ||
    byNames(one.names, other.names)

/** Bytewise, nulls first: as the databases sort. */
function byNames(one: readonly (string | null)[], other: readonly (string | null)[]): number {
  for (const [index, name] of one.entries()) {
    const against = other[index] ?? null
    if (name === against) continue
    if (name === null) return -1
    if (against === null) return 1
    return Buffer.compare(Buffer.from(name), Buffer.from(against))
  }
  return 0
}

function topOf(sorted: readonly Group[], count: number): readonly Group[] {
  const places = new Map<number, number>()
  return sorted.filter(({ period }) => {
    const place = (places.get(period) ?? 0) + 1
    places.set(period, place)
    return place <= count
  })
}
