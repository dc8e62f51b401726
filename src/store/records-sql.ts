// Reading records: a filter as SQL, in steps that look at a bounded number of rows, by time of creation and arrival.
import { HepwrapError, quote } from '../base/errors.js'
import { anyOf, type Binding, type Dialect } from './dialect.js'
import type { Cursor, RecordsFilter, StoreScope } from './store.js'
import { STORED_COLUMNS } from './stored-row.js'
import type { Sql } from './usage-sql.js'

/** Where a page ended: the row's time of creation and its number of arrival. */
export interface Place {
  readonly createdMs: number
  readonly seq: number
}

export const toCursor = ({ createdMs, seq }: Place): Cursor => `${createdMs}_${seq}`

export function fromCursor(cursor: Cursor): Place {
  const [, createdMs, seq] = /^(-?\d{1,15})_(\d{1,15})$/.exec(cursor) ?? []
  if (createdMs === undefined || seq === undefined)
    throw new HepwrapError('HW_OPTION_INVALID', `cursor ${quote(cursor)} is not one of ours`)
  return { createdMs: Number(createdMs), seq: Number(seq) }
}

export const COLUMNS = STORED_COLUMNS.map((column) => `"${column}"`).join(', ')

/** How long a run takes at most without being in the index of the long ones; part of the schema of both databases. */
const LONG_MS = 604_800_000
/** Word for word the condition of the index `records_long`. */
export const IS_LONG = `(state = 'RUNNING' OR closed_ms - created_at > ${LONG_MS})`

/** A part of the records, in whose order a reader goes on to the next. */
export interface Stretch {
  /** Old ones that reach into the time asked for; then all from there on. */
  readonly kind: 'long' | 'rest'
  readonly sinceMs: number | undefined
}

/**
 * A run that ended after `since` began after it, or at most a week before, or is one of the few long ones: so no filter by
 * time looks at all records.
 */
export function stretchesOf({ sinceMs, states }: RecordsFilter): readonly Stretch[] {
  if (states?.length === 1 && states[0] === 'RUNNING') return [{ kind: 'long', sinceMs: undefined }]
  if (sinceMs === undefined) return [{ kind: 'rest', sinceMs }]
  return [
    { kind: 'long', sinceMs },
    { kind: 'rest', sinceMs },
  ]
}

export interface StepQuestion {
  readonly filter: RecordsFilter
  readonly scope: StoreScope
  readonly stretch: Stretch
  readonly after: Place | undefined
}

/** The last of the next `rows` rows of a stretch, matching or not; none: fewer are left. */
export function boundSql(question: StepQuestion, rows: number, dialect: Dialect): Sql {
  const binding = dialect.binding()
  const where = placeConditions(question, binding)
  return {
    text: `SELECT created_at, seq FROM records${whereOf(where)} ORDER BY created_at, seq LIMIT 1 OFFSET ${rows - 1}`,
    values: binding.values,
  }
}

/** Matching rows of a stretch up to a bound, each with `seq` as its last column. */
export function stepSql(
  question: StepQuestion,
  upTo: Place | undefined,
  limit: number,
  dialect: Dialect,
): Sql {
  const binding = dialect.binding()
  const bound =
    upTo === undefined
      ? []
      : [`(created_at, seq) <= (${binding.bind(upTo.createdMs)}, ${binding.bind(upTo.seq)})`]
  const where = [
    ...placeConditions(question, binding),
    ...bound,
    ...filterConditions(question.filter, binding, dialect),
  ]
  return {
    text: `SELECT ${COLUMNS}, seq FROM records${whereOf(where)} ORDER BY created_at, seq LIMIT ${limit}`,
    values: binding.values,
  }
}

const whereOf = (conditions: readonly string[]) =>
  conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`

/** What an index answers: whose, from where on, and until when. */
function placeConditions(question: StepQuestion, binding: Binding): readonly string[] {
  const { after, stretch, scope, filter } = question
  const conditions: string[] = []
  if (scope.uid !== undefined) conditions.push(`uid = ${binding.bind(scope.uid)}`)
  if (filter.jobs !== undefined && filter.jobs.length > 0)
    conditions.push(jobCondition(filter.jobs, binding))
  if (stretch.kind === 'long') conditions.push(IS_LONG)
  if (stretch.sinceMs !== undefined)
    conditions.push(
      `created_at ${stretch.kind === 'long' ? '<' : '>='} ${binding.bind(stretch.sinceMs - LONG_MS)}`,
    )
  if (filter.untilMs !== undefined) conditions.push(`created_at <= ${binding.bind(filter.untilMs)}`)
  if (after !== undefined)
    conditions.push(
      `(created_at, seq) > (${binding.bind(after.createdMs)}, ${binding.bind(after.seq)})`,
    )
  return conditions
}

/** As a set of rows of its own: two indexes, and few rows. */
function jobCondition(jobs: readonly number[], binding: Binding): string {
  const list = () => jobs.map((job) => binding.bind(job)).join(', ')
  return `seq IN (SELECT seq FROM records WHERE job_id IN (${list()})
    UNION SELECT seq FROM records WHERE array_job_id IN (${list()}))`
}

function filterConditions(
  filter: RecordsFilter,
  binding: Binding,
  dialect: Dialect,
): readonly string[] {
  const conditions: string[] = []
  const named: readonly (readonly [string, readonly string[] | undefined])[] = [
    ['account', filter.accounts],
    ['image', filter.images],
    ['node', filter.nodes],
    ['cluster', filter.clusters],
    ['partition', filter.partitions],
    ['state', filter.states],
  ]
  for (const [column, names] of named) {
    if (names !== undefined && names.length > 0)
      conditions.push(anyOf(dialect, binding, `"${column}"`, names))
  }
  if (filter.users !== undefined && filter.users.length > 0)
    conditions.push(userCondition(filter.users, binding, dialect))
  // A run belongs to a period when any part of it does, as sacct counts.
  if (filter.sinceMs !== undefined)
    conditions.push(`(closed_ms IS NULL OR closed_ms >= ${binding.bind(filter.sinceMs)})`)
  return conditions
}

/** A number is a uid, and perhaps a name. */
function userCondition(users: readonly string[], binding: Binding, dialect: Dialect): string {
  const names = anyOf(dialect, binding, '"user"', users)
  const uids = users.filter((user) => /^\d{1,10}$/.test(user))
  if (uids.length === 0) return names
  return `(${names} OR uid IN (${uids.map((uid) => binding.bind(Number(uid))).join(', ')}))`
}
