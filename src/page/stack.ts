// Rows of sums → what is stacked over time: the names with the most, then all others as one. Pure.
import type { UsageRow, UsageSums } from '../wire/report-api.js'
import { type Grain, nextPeriod, periodsOf, type Span } from './dates.js'
import type { Measure } from './measures.js'
import { plainText } from './plain-text.js'
import type { StackKey } from './view.js'

/** As many colours as eyes tell apart. */
export const MAX_SERIES = 8

export interface Series {
  /** Null: the records have none; undefined: all others together. */
  readonly name: string | null | undefined
  readonly label: string
  readonly total: number
}

/** One series in one period; from and to in ms, low and high in the measure's unit. */
export interface StackCell {
  readonly series: number
  readonly from: number
  readonly to: number
  readonly low: number
  readonly high: number
}

export interface Stack {
  readonly series: readonly Series[]
  readonly periods: readonly number[]
  /** By period, then by series. */
  readonly amounts: readonly (readonly number[])[]
  readonly cells: readonly StackCell[]
  readonly total: number
}

export interface StackInput {
  readonly key: StackKey
  readonly measure: Measure
  readonly span: Span
  readonly grain: Grain
  /** The names with the most, over the whole span, in this order. */
  readonly top: readonly UsageRow[]
  /** How many names there are beyond `top`; undefined: some. */
  readonly isWhole: boolean
  /** By period and name: of the names in `top` at least. */
  readonly parts: readonly UsageRow[]
  /** By period alone. */
  readonly totals: readonly UsageRow[]
}

export function stackOf(input: StackInput): Stack {
  const { key, measure, span, grain, top } = input
  const periods = periodsOf(span, grain)
  const shown = top.filter((row) => measure.of(row) > 0).slice(0, seriesOf(input))
  const names = shown.map((row) => row[key] ?? null)
  const all = amountsOf(input, periods, names)
  const series = names.map((name, index): Series => ({
    name,
    label: labelOf(name),
    total: sumOf(all, index),
  }))
  const rest = sumOf(all, names.length)
  if (rest > 0) series.push({ name: undefined, label: 'all others', total: rest })
  const amounts = all.map((amount) => amount.slice(0, series.length))
  return {
    series,
    periods,
    amounts,
    cells: periods.flatMap((from, index) => cellsOf(from, grain, amounts[index] ?? [])),
    total: series.reduce((sum, one) => sum + one.total, 0),
  }
}

/** By period: each name's amount, then what is left of the sum of all. */
function amountsOf(
  { key, measure, grain, parts, totals }: StackInput,
  periods: readonly number[],
  names: readonly (string | null)[],
): readonly (readonly number[])[] {
  const others = names.length
  const indexOfPeriod = new Map(periods.map((ms, index) => [ms, index]))
  const indexOfName = new Map(names.map((name, index) => [name, index]))
  const amounts = periods.map(() => new Array<number>(others + 1).fill(0))
  const add = (row: UsageRow, index: number, amount: number) => {
    const period = amounts[indexOfPeriod.get(beginOf(row, grain)) ?? -1]
    if (period !== undefined) period[index] = (period[index] ?? 0) + amount
  }
  for (const row of totals) add(row, others, measure.of(row))
  for (const row of parts) {
    const index = indexOfName.get(row[key] ?? null)
    if (index === undefined) continue
    add(row, index, measure.of(row))
    add(row, others, -measure.of(row))
  }
  for (const amount of amounts) amount[others] = restOf(amount)
  return amounts
}

export const labelOf = (name: string | null): string =>
  name === null ? '(none)' : name === '' ? '(empty)' : plainText(name)

/** One more name than colours: then the last colour is for the others. */
function seriesOf({ top, isWhole }: StackInput): number {
  return isWhole && top.length <= MAX_SERIES ? MAX_SERIES : MAX_SERIES - 1
}

function beginOf(row: UsageRow, grain: Grain): number {
  return Date.parse(row[grain] ?? '')
}

/** What is left of a difference of sums by floating point alone is nothing. */
function restOf(amount: readonly number[]): number {
  const rest = amount.at(-1) ?? 0
  const all = amount.reduce((sum, one) => sum + Math.abs(one), 0)
  return rest <= all * 1e-12 ? 0 : rest
}

const sumOf = (amounts: readonly (readonly number[])[], series: number): number =>
  amounts.reduce((sum, amount) => sum + (amount[series] ?? 0), 0)

function cellsOf(from: number, grain: Grain, amounts: readonly number[]): readonly StackCell[] {
  const to = nextPeriod(from, grain)
  const cells: StackCell[] = []
  let low = 0
  for (const [series, amount] of amounts.entries()) {
    if (amount > 0) cells.push({ series, from, to, low, high: low + amount })
    low += amount
  }
  return cells
}

/** The sums of several rows: of those beyond a top list. */
export function sumsLess(all: UsageSums, rows: readonly UsageSums[]): UsageSums {
  const less = (of: (sums: UsageSums) => number) =>
    Math.max(0, of(all) - rows.reduce((sum, row) => sum + of(row), 0))
  return {
    runs: less((sums) => sums.runs),
    failed: less((sums) => sums.failed),
    refused: less((sums) => sums.refused),
    elapsed_ms: less((sums) => sums.elapsed_ms),
    cpu_usec: less((sums) => sums.cpu_usec),
    alloc_cpu_usec: less((sums) => sums.alloc_cpu_usec),
    used_cpu_usec: less((sums) => sums.used_cpu_usec),
    memory_mib_s: less((sums) => sums.memory_mib_s),
    io_read_bytes: less((sums) => sums.io_read_bytes),
    io_write_bytes: less((sums) => sums.io_write_bytes),
  }
}

export const NOTHING: UsageSums = {
  runs: 0,
  failed: 0,
  refused: 0,
  elapsed_ms: 0,
  cpu_usec: 0,
  alloc_cpu_usec: 0,
  used_cpu_usec: 0,
  memory_mib_s: 0,
  io_read_bytes: 0,
  io_write_bytes: 0,
}
