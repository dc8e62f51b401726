// What can be measured: how a row's sums become one number, in which unit, and how that number is written.
import type { UsageQuery, UsageSums } from '../wire/report-api.js'

export interface Measure {
  readonly id: string
  /** In a list of choices and in headings: "CPU time used". */
  readonly label: string
  /** Behind a number and in the head of a column: "h"; empty: a count. */
  readonly unit: string
  /** The word that the aggregator sorts by. */
  readonly sort: NonNullable<UsageQuery['sort']>
  readonly of: (sums: UsageSums) => number
  readonly format: (amount: number) => string
}

const HOUR_USEC = 3.6e9
const HOUR_MS = 3.6e6
const GIB_HOUR_MIB_S = 1024 * 3600

export const MEASURES = [
  {
    id: 'cpu',
    label: 'CPU time used',
    unit: 'h',
    sort: 'cpu_usec',
    of: (sums) => sums.cpu_usec / HOUR_USEC,
    format: formatAmount,
  },
  {
    id: 'allocated',
    label: 'CPU time allocated',
    unit: 'h',
    sort: 'alloc_cpu_usec',
    of: (sums) => sums.alloc_cpu_usec / HOUR_USEC,
    format: formatAmount,
  },
  {
    id: 'wall',
    label: 'Wall time',
    unit: 'h',
    sort: 'elapsed_ms',
    of: (sums) => sums.elapsed_ms / HOUR_MS,
    format: formatAmount,
  },
  {
    id: 'memory',
    label: 'Memory × time',
    unit: 'GiB·h',
    sort: 'memory_mib_s',
    of: (sums) => sums.memory_mib_s / GIB_HOUR_MIB_S,
    format: formatAmount,
  },
  {
    id: 'io',
    label: 'I/O, read and written',
    unit: '',
    sort: 'io_bytes',
    of: (sums) => sums.io_read_bytes + sums.io_write_bytes,
    format: formatBytes,
  },
  {
    id: 'runs',
    label: 'Containers',
    unit: '',
    sort: 'runs',
    of: (sums) => sums.runs,
    format: formatCount,
  },
  {
    id: 'failed',
    label: 'Failures',
    unit: '',
    sort: 'failed',
    of: (sums) => sums.failed,
    format: formatCount,
  },
] as const satisfies readonly Measure[]

export const DEFAULT_MEASURE: Measure = MEASURES[0]

export const measureOf = (id: string | null): Measure =>
  MEASURES.find((measure) => measure.id === id) ?? DEFAULT_MEASURE

/** "1,204 h", "3.1 TB", "17". */
export const withUnit = (measure: Measure, amount: number): string =>
  measure.unit === '' ? measure.format(amount) : `${measure.format(amount)} ${measure.unit}`

/** CPU used of what was allocated, by the records that know both; undefined: none does. */
export const efficiencyOf = (sums: UsageSums): number | undefined =>
  sums.alloc_cpu_usec > 0 ? sums.used_cpu_usec / sums.alloc_cpu_usec : undefined

const wholeNumbers = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const oneDecimal = new Intl.NumberFormat('en', { maximumFractionDigits: 1 })
const twoDigits = new Intl.NumberFormat('en', { maximumSignificantDigits: 2 })
const percents = new Intl.NumberFormat('en', { style: 'percent', maximumFractionDigits: 1 })
const millions = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 4 })
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 3 })

export function formatCount(amount: number): string {
  return wholeNumbers.format(amount)
}

/** As many digits as help: "<0.001", "0.042", "8.3", "1,204", "1.204M". */
export function formatAmount(amount: number): string {
  if (amount > 0 && amount < 0.001) return '<0.001'
  if (Math.abs(amount) >= 1e6) return millions.format(amount)
  if (amount === 0 || Math.abs(amount) >= 100) return wholeNumbers.format(amount)
  return Math.abs(amount) >= 1 ? oneDecimal.format(amount) : twoDigits.format(amount)
}

/** On an axis: "2.5K", "1M". */
export const formatShort = (amount: number): string => compact.format(amount)

/** "12.5%"; what is there but hardly is "<0.1%", not nothing. */
export const formatShare = (share: number): string =>
  share > 0 && share < 0.0005 ? '<0.1%' : percents.format(share)

const BYTE_UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB']

/** Powers of 1000, as disks and networks are sold: "3.1 TB". */
export function formatBytes(bytes: number): string {
  const step = bytes < 1000 ? 0 : Math.floor(Math.log10(bytes) / 3 + 1e-9)
  const unit = BYTE_UNITS[Math.min(step, BYTE_UNITS.length - 1)] ?? 'B'
  return `${formatAmount(bytes / 1000 ** Math.min(step, BYTE_UNITS.length - 1))} ${unit}`
}

/** Powers of 1024, as memory is: "1.5 GiB". */
export function formatMemory(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  const step = bytes < 1024 ? 0 : Math.min(4, Math.floor(Math.log2(bytes) / 10 + 1e-9))
  return `${formatAmount(bytes / 1024 ** step)} ${units[step] ?? 'B'}`
}

/** "340 ms", "12.5 s", "3 min 20 s", "5 h 07 min", "2 d 3 h". */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`
  if (ms < 60_000) return `${oneDecimal.format(ms / 1000)} s`
  const minutes = Math.floor(ms / 60_000)
  if (minutes < 60) return `${minutes} min ${Math.floor((ms % 60_000) / 1000)} s`
  const hours = Math.floor(minutes / 60)
  if (hours < 48) return `${hours} h ${String(minutes % 60).padStart(2, '0')} min`
  return `${Math.floor(hours / 24)} d ${hours % 24} h`
}
