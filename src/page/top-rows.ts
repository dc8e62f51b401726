// The names with the most of a measure, and all others as one. Pure.
import type { UsageRow, UsageSums } from '../wire/report-api.js'
import type { Measure } from './measures.js'
import { labelOf, sumsLess } from './stack.js'
import type { StackKey } from './view.js'

export const TOP = 10

export interface TopRow {
  readonly label: string
  /** Undefined: all others. */
  readonly name: string | null | undefined
  readonly sums: UsageSums
  readonly share: number
  /** Of the bar, of the widest one; all others have none, or they would dwarf those that are named. */
  readonly width: number
}

/** `rows`: the top ones and perhaps one more, which says that there are others. */
export function topRows(
  rows: readonly UsageRow[],
  key: StackKey,
  measure: Measure,
  all: UsageSums,
): readonly TopRow[] {
  const most = rows.slice(0, TOP)
  const total = measure.of(all)
  const share = (sums: UsageSums) => (total > 0 ? measure.of(sums) / total : 0)
  const others = rows.length <= TOP ? [] : [sumsLess(all, most)]
  const widest = Math.max(...most.map((sums) => measure.of(sums)))
  const rowOf = (sums: UsageSums, name: TopRow['name'], label: string): TopRow => {
    const width = widest > 0 && name !== undefined ? measure.of(sums) / widest : 0
    return { label, name, sums, share: share(sums), width }
  }
  return [
    ...most.map((sums) => rowOf(sums, sums[key] ?? null, labelOf(sums[key] ?? null))),
    ...others.map((sums) => rowOf(sums, undefined, 'all others')),
  ]
}
