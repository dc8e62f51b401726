// Reading records: a query to SQL with bound values only, in pages by sequence number.
import type { Database } from 'better-sqlite3'
import { rfc3339 } from '../base/clock.js'
import { HepwrapError, quote } from '../base/errors.js'
import { STATES, type RecordsQuery, type UsageRecord } from '../wire/usage-api.js'
import { RECORD_FIELDS } from '../wire/record-fields.js'
import { fromRow, type RecordRow, type Scope } from './record.js'

/** How many rows are looked at in one go: a few milliseconds, matching or not, while the daemon does nothing else. */
const PAGE_ROWS = 1000

interface Condition {
  readonly sql: string
  readonly values: Record<string, string | number>
}

/** Pages of records, oldest first, as they are looked at: a page in which nothing matches is empty, and no end. */
export function createRecordReader(db: Database) {
  const columns = RECORD_FIELDS.map((field) => `"${field}"`).join(', ')
  const selectLast = db.prepare('SELECT max(seq) FROM records').pluck()

  return (query: RecordsQuery, scope: Scope): Iterable<readonly UsageRecord[]> => {
    const conditions = [...scopeConditions(scope), ...queryConditions(query)]
    const where = conditions.map(({ sql }) => ` AND ${sql}`).join('')
    const values = Object.fromEntries(
      conditions.flatMap((condition) => Object.entries(condition.values)),
    )
    const select = db.prepare(
      `SELECT ${columns} FROM records WHERE seq > @after AND seq <= @upTo${where} ORDER BY seq`,
    )
    return pages(
      () => (selectLast.get() as number | null) ?? 0,
      (after, upTo) => (select.all({ ...values, after, upTo }) as RecordRow[]).map(fromRow),
    )
  }
}

function* pages(
  lastSeq: () => number,
  between: (after: number, upTo: number) => readonly UsageRecord[],
): Iterable<readonly UsageRecord[]> {
  for (let after = 0; after < lastSeq(); after += PAGE_ROWS) {
    yield between(after, after + PAGE_ROWS)
  }
}

const scopeConditions = ({ uid }: Scope): readonly Condition[] =>
  uid === undefined ? [] : [{ sql: 'uid = @scope', values: { scope: uid } }]

function queryConditions(query: RecordsQuery): readonly Condition[] {
  const conditions: Condition[] = []
  if (query.job !== undefined) conditions.push(jobCondition(query.job))
  if (query.user !== undefined) conditions.push(userCondition(query.user))
  if (query.state !== undefined) conditions.push(stateCondition(query.state))
  // A run belongs to a period when any part of it does, as sacct counts: it began before the end, and ended after the start.
  if (query.since !== undefined)
    conditions.push({
      sql: '(ended_at IS NULL OR ended_at >= @since)',
      values: { since: time('since', query.since) },
    })
  if (query.until !== undefined)
    conditions.push({ sql: 'created_at <= @until', values: { until: time('until', query.until) } })
  if (query.image !== undefined)
    conditions.push({
      sql: 'image GLOB @image',
      values: { image: query.image.replaceAll('[', '[[]') },
    })
  return conditions
}

function jobCondition(jobs: string): Condition {
  const values = Object.fromEntries(
    jobs.split(',').map((job, index) => [`job${index}`, Number(job)]),
  )
  const names = Object.keys(values).map((name) => `@${name}`)
  return {
    sql: `(job_id IN (${names.join(', ')}) OR array_job_id IN (${names.join(', ')}))`,
    values,
  }
}

function userCondition(user: string): Condition {
  return /^[0-9]+$/.test(user)
    ? { sql: 'uid = @user', values: { user: Number(user) } }
    : { sql: 'user = @user', values: { user } }
}

function stateCondition(states: string): Condition {
  const wanted = states.toUpperCase().split(',')
  const unknown = wanted.find((state) => !(STATES as readonly string[]).includes(state))
  if (unknown !== undefined)
    throw new HepwrapError(
      'HW_OPTION_INVALID',
      `unknown state ${quote(unknown)}; one of ${STATES.join(', ')}`,
    )
  const values = Object.fromEntries(wanted.map((state, index) => [`state${index}`, state]))
  return {
    sql: `state IN (${Object.keys(values)
      .map((name) => `@${name}`)
      .join(', ')})`,
    values,
  }
}

/** RFC 3339 alone: what Date.parse reads beside it means another time on another node, or the third of March. */
function time(name: string, text: string): string {
  const epochMs = RFC3339.test(text) && isDay(text.slice(0, 10)) ? Date.parse(text) : NaN
  if (Number.isNaN(epochMs))
    throw new HepwrapError(
      'HW_OPTION_INVALID',
      `--${name} ${quote(text)} is not a time as RFC 3339 writes it: 2026-01-31T12:00:00Z`,
    )
  return rfc3339(epochMs)
}

const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/

function isDay(date: string): boolean {
  const epochMs = Date.parse(date)
  return !Number.isNaN(epochMs) && rfc3339(epochMs).startsWith(date)
}
