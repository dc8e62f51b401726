// A planned question about usage as SQL over the rollups: the same text for both databases but for their dialect.
import type { UsageRow, UsageSums } from '../wire/report-api.js'
import { rfc3339 } from '../base/clock.js'
import { HepwrapError } from '../base/errors.js'
import { USAGE_SUMS } from '../wire/usage-sums.js'
import { anyOf, type Binding, type Dialect, type SqlValue } from './dialect.js'
import { GRAINS, HOUR_MS, type Grain } from './periods.js'
import { CUTS } from './rollup.js'
import type { StoreScope, UsageFilter, UsageQuestion, UsageSort } from './store.js'
import { namedIn, type PlannedPiece, type UsagePlan } from './usage-plan.js'

/** More rows than this are no answer for people, and must not fill anybody's memory. */
export const MAX_USAGE_ROWS = 200_000

export interface Sql {
  readonly text: string
  readonly values: readonly SqlValue[]
}

export function usageSql(
  question: UsageQuestion,
  scope: StoreScope,
  plan: UsagePlan & { readonly pieces: readonly PlannedPiece[] },
  dialect: Dialect,
): Sql {
  const { keys } = plan
  const binding = dialect.binding()
  const pieces = plan.pieces.map((piece) =>
    pieceSql(piece, plan, conditionsOf(question.filter, scope, binding, dialect), binding, dialect),
  )
  const grouped = ['period', ...keys.map((key) => `k_${key}`)]
  const sums = USAGE_SUMS.map((field) => `${dialect.sum(field)} AS ${field}`)
  const summed = `SELECT ${[...grouped, ...sums].join(', ')} FROM (${pieces.join(' UNION ALL ')}) AS pieces
    GROUP BY ${grouped.join(', ')} HAVING ${dialect.sum('runs')} <> 0`
  const named = keys.map((key) => `n_${key}.text AS v_${key}`)
  const joins = keys.map((key) => ` LEFT JOIN names AS n_${key} ON n_${key}.id = k_${key}`)
  const order = keys.map((key) => `n_${key}.text${dialect.bytewise} NULLS FIRST`)
  const rank =
    question.top === undefined
      ? []
      : [
          `row_number() OVER (PARTITION BY period ORDER BY ${[`${sortOf(question.top.sort)} DESC`, ...order].join(', ')}) AS place`,
        ]
  const rows = `SELECT ${['period', ...named, ...USAGE_SUMS, ...rank].join(', ')} FROM (${summed}) AS summed${joins.join('')}`
  const text =
    question.top === undefined
      ? `${rows} ORDER BY ${['period', ...order].join(', ')} LIMIT ${MAX_USAGE_ROWS + 1}`
      : `SELECT * FROM (${rows}) AS ranked WHERE place <= ${binding.bind(question.top.count)} ORDER BY period, place LIMIT ${MAX_USAGE_ROWS + 1}`
  return { text, values: binding.values }
}

const sortOf = (sort: UsageSort): string =>
  sort === 'io_bytes' ? 'io_read_bytes + io_write_bytes' : sort

/**
 * One piece of the time. Hours lie together by their time, whoever they are of; the coarser grains by entity, of which
 * each has its periods one behind the other, so that 5,000 nodes are 5,000 short ranges and no sorting.
 */
function pieceSql(
  piece: PlannedPiece,
  { keys, period: asked }: UsagePlan,
  conditions: readonly string[],
  binding: Binding,
  dialect: Dialect,
): string {
  const cut = CUTS[piece.cut].number
  const shown = keys.map((key) => `e."${key}" AS k_${key}`)
  const range = [
    ...(Number.isFinite(piece.from) ? [`r.period >= ${binding.bind(piece.from)}`] : []),
    ...(Number.isFinite(piece.to) ? [`r.period < ${binding.bind(piece.to)}`] : []),
  ]
  const period = asked === undefined ? '0' : periodOf(asked, piece.grain, dialect)
  if (piece.grain === 'hour') {
    return `SELECT ${[`${period} AS period`, ...shown, ...USAGE_SUMS].join(', ')}
      FROM rollup_hours AS r ${dialect.join} entities AS e ON e.cut = r.cut AND e.id = r.entity
      WHERE ${[`r.cut = ${cut}`, ...range, ...conditions].join(' AND ')}`
  }
  const from = `FROM entities AS e ${dialect.join} rollups AS r ON r.grain = ${GRAINS[piece.grain]} AND r.entity = e.id
      WHERE ${[`e.cut = ${cut}`, ...range, ...conditions].join(' AND ')}`
  if (asked !== undefined)
    return `SELECT ${[`${period} AS period`, ...shown, ...USAGE_SUMS].join(', ')} ${from}`
  const sums = USAGE_SUMS.map((field) => `${dialect.sum(field)} AS ${field}`)
  return `SELECT ${[`${period} AS period`, ...shown, ...sums].join(', ')} ${from} GROUP BY e.cut, e.id`
}

/** The begin of the period asked for, of a row of a finer grain or the same. */
export function periodOf(asked: Grain, grain: Grain, dialect: Dialect): string {
  if (asked === grain) return 'r.period'
  switch (asked) {
    case 'hour':
      return 'r.period'
    case 'day':
      return `r.period - ${modulo('r.period', 24)}`
    case 'week':
      return `r.period - ${modulo(`r.period + ${WEEK_SHIFT}`, 168)}`
    case 'month':
      return dialect.monthOf('r.period')
  }
}

/** Hours from a Monday to the begin of 1970, a Thursday. */
const WEEK_SHIFT = 72
/** SQL's % is negative for hours before 1970. */
const modulo = (value: string, by: number) => `(((${value}) % ${by} + ${by}) % ${by})`

function conditionsOf(
  filter: UsageFilter,
  { uid }: StoreScope,
  binding: Binding,
  dialect: Dialect,
): readonly string[] {
  const conditions = namedIn(filter).map(
    ([key, names]) =>
      `e."${key}" IN (SELECT id FROM names WHERE ${anyOf(dialect, binding, 'text', names)})`,
  )
  return uid === undefined ? conditions : [...conditions, `e.uid = ${binding.bind(uid)}`]
}

/** A row of the answer as the database gives it. */
export type SqlUsageRow = Readonly<Record<string, string | number | null>>

export function toUsageRows(rows: readonly SqlUsageRow[], plan: UsagePlan): readonly UsageRow[] {
  refuseTooMany(rows.length)
  return rows.map((row) => ({
    ...(plan.period === undefined
      ? {}
      : { [plan.period]: rfc3339(Number(row['period']) * HOUR_MS) }),
    ...Object.fromEntries(plan.keys.map((key) => [key, row[`v_${key}`] ?? null])),
    ...(Object.fromEntries(USAGE_SUMS.map((field) => [field, Number(row[field])])) as Record<
      keyof UsageSums,
      number
    >),
  }))
}

export function refuseTooMany(rows: number): void {
  if (rows > MAX_USAGE_ROWS)
    throw new HepwrapError(
      'HW_OPTION_INVALID',
      `the answer has more than ${MAX_USAGE_ROWS} rows: ask for less time, fewer keys, or the top ones alone`,
    )
}
