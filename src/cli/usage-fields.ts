// The fields of `hepwrap report`: keys, sums in the units of people and exact, and what is derived of them.
import type { UsageKey, UsageRow, UsageSums } from '../wire/report-api.js'
import { USAGE_SUMS } from '../wire/usage-sums.js'
import type { Field } from './fields.js'
import { percent } from './record-fields.js'
import { formatBytes } from './table.js'

type UsageField = Field<UsageRow>

const WIDTHS: Readonly<Record<UsageKey, number>> = {
  cluster: 10,
  user: 12,
  account: 12,
  image: 32,
  node: 12,
  state: 13,
  hour: 17,
  day: 10,
  week: 10,
  month: 7,
}

export const isUsageKey = (word: string): word is UsageKey => Object.hasOwn(WIDTHS, word)

const PERIOD_CHARACTERS: Readonly<Partial<Record<UsageKey, number>>> = {
  hour: 16,
  day: 10,
  week: 10,
  month: 7,
}

/** A period is shown by its begin: "2026-01-31", of a month "2026-01", of an hour "2026-01-31T12:00Z". */
const keyField = (key: UsageKey): UsageField => ({
  name: key.charAt(0).toUpperCase() + key.slice(1),
  width: WIDTHS[key],
  text: (row) => {
    const shown = row[key]?.slice(0, PERIOD_CHARACTERS[key])
    return key === 'hour' && shown !== undefined ? `${shown}Z` : shown
  },
  value: (row) => row[key] ?? null,
})

const fixed = (value: number) => value.toFixed(value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2)

const amount = (
  name: string,
  width: number,
  text: (row: UsageRow) => string | number | null,
  value?: (row: UsageRow) => number | null,
): UsageField => ({ name, width, right: true, text, ...(value !== undefined && { value }) })

const cpuHours = ({ cpu_usec }: UsageSums) => cpu_usec / 3.6e9
const allocatedHours = ({ alloc_cpu_usec }: UsageSums) => alloc_cpu_usec / 3.6e9
const wallHours = ({ elapsed_ms }: UsageSums) => elapsed_ms / 3.6e6
const memoryHours = ({ memory_mib_s }: UsageSums) => memory_mib_s / 1024 / 3600

/** CPU time used ÷ allocated, of the runs of which both are known. */
const efficiency = ({ used_cpu_usec, alloc_cpu_usec }: UsageSums): number | null =>
  alloc_cpu_usec > 0 ? Math.round((used_cpu_usec / alloc_cpu_usec) * 10_000) / 10_000 : null

const hours = (value: number) => Math.round(value * 1e6) / 1e6

const AMOUNTS: readonly UsageField[] = [
  amount('Runs', 9, ({ runs }) => runs),
  amount('Failed', 7, ({ failed }) => failed),
  amount('Refused', 7, ({ refused }) => refused),
  amount(
    'CPUHours',
    10,
    (row) => fixed(cpuHours(row)),
    (row) => hours(cpuHours(row)),
  ),
  amount(
    'AllocHours',
    10,
    (row) => fixed(allocatedHours(row)),
    (row) => hours(allocatedHours(row)),
  ),
  amount(
    'WallHours',
    10,
    (row) => fixed(wallHours(row)),
    (row) => hours(wallHours(row)),
  ),
  amount(
    'MemGiBHours',
    11,
    (row) => fixed(memoryHours(row)),
    (row) => hours(memoryHours(row)),
  ),
  amount(
    'Read',
    6,
    ({ io_read_bytes }) => formatBytes(io_read_bytes),
    ({ io_read_bytes }) => io_read_bytes,
  ),
  amount(
    'Written',
    7,
    ({ io_write_bytes }) => formatBytes(io_write_bytes),
    ({ io_write_bytes }) => io_write_bytes,
  ),
  amount('Efficiency', 10, (row) => percent(efficiency(row)), efficiency),
]

/** The sums under their own names: exact. */
const EXACT = USAGE_SUMS.map((name) => amount(name, Math.max(10, name.length), (row) => row[name]))
const exactOnly = EXACT.filter(
  ({ name }) => name !== 'runs' && name !== 'failed' && name !== 'refused',
)

/** For a report by these keys, in this order. */
export function usageFields(by: readonly UsageKey[]) {
  const keys = by.map(keyField)
  const exactKeys = by.map((key) => ({
    ...keyField(key),
    name: key,
    text: (row: UsageRow) => row[key],
  }))
  return {
    known: [...keys, ...AMOUNTS, ...exactOnly],
    table: [...keys, ...AMOUNTS.filter(({ name }) => name !== 'AllocHours')],
    whole: [...exactKeys, ...EXACT, { ...amount('efficiency', 10, efficiency) }],
  }
}
