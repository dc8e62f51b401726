// Queries from their text to what the store is asked: checked against the wire's schemas, every fault named with its value.
import type { Static, TObject } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { HepwrapError, quote } from '../base/errors.js'
import type { RecordsFilter, Store, UsageFilter, UsageQuestion, UsageSort } from '../store/store.js'
import {
  USAGE_KEYS,
  type SiteRecordsQuery,
  type UsageKey,
  type UsageQuery,
} from '../wire/report-api.js'
import { STATES, type RecordState } from '../wire/usage-api.js'

/** The query as the schema wants it: whole numbers are read where it has some. Throws `code`. */
export function checkedQuery<Schema extends TObject>(
  schema: Schema,
  query: unknown,
  code: 'HW_OPTION_INVALID' | 'HW_REQUEST_INVALID',
): Static<Schema> {
  const given = Object.entries(query as Record<string, unknown>).map(([name, value]) => [
    name,
    isWhole(schema, name) && typeof value === 'string' && /^[0-9]{1,16}$/.test(value)
      ? Number(value)
      : value,
  ])
  const checked: unknown = Object.fromEntries(given)
  if (Value.Check(schema, checked)) return checked
  const first = Value.Errors(schema, checked).First()
  const name = first?.path.slice(1) ?? ''
  throw new HepwrapError(
    code,
    Object.hasOwn(schema.properties, name)
      ? `${name} ${shown(first?.value)}: ${first?.message ?? 'malformed'}`
      : `there is no filter ${quote(name)}; there are ${Object.keys(schema.properties).join(', ')}`,
  )
}

const isWhole = ({ properties }: TObject, name: string): boolean =>
  Object.hasOwn(properties, name) && properties[name]?.['type'] === 'integer'

export function recordsFilter(query: SiteRecordsQuery): RecordsFilter {
  const { since, until } = query
  return defined({
    jobs: query.job?.split(',').map(Number),
    users: words(query.user),
    accounts: words(query.account),
    images: words(query.image),
    nodes: words(query.node),
    clusters: words(query.cluster),
    partitions: words(query.partition),
    states: states(query.state),
    sinceMs: since === undefined ? undefined : time('since', since),
    untilMs: until === undefined ? undefined : time('until', until),
  })
}

export function usageQuestion(query: UsageQuery): UsageQuestion {
  const { top, sort } = query
  return {
    by: usageKeys(query.by),
    filter: usageFilter(query),
    top: top === undefined ? undefined : { count: top, sort: (sort ?? 'cpu_usec') as UsageSort },
  }
}

const HOUR_MS = 3_600_000
const PERIODS: readonly string[] = ['hour', 'day', 'week', 'month']

function usageFilter(query: UsageQuery): UsageFilter {
  const hour = (name: string, text: string | undefined) =>
    text === undefined ? undefined : Math.floor(time(name, text) / HOUR_MS) * HOUR_MS
  return defined({
    clusters: words(query.cluster),
    users: words(query.user),
    accounts: words(query.account),
    images: words(query.image),
    nodes: words(query.node),
    states: states(query.state),
    sinceMs: hour('since', query.since),
    untilMs: hour('until', query.until),
  })
}

function usageKeys(by: string | undefined): readonly UsageKey[] {
  const keys = words(by) ?? []
  const unknown = keys.find((key) => !(USAGE_KEYS as readonly string[]).includes(key))
  if (unknown !== undefined)
    throw invalid(`by ${quote(unknown)}: it can be by ${USAGE_KEYS.join(', ')}`)
  if (keys.filter((key) => PERIODS.includes(key)).length > 1)
    throw invalid(`by ${quote(keys.join(','))}: one of ${PERIODS.join(', ')} at most`)
  return [...new Set(keys)] as UsageKey[]
}

export const nodesFilter = (query: {
  readonly cluster?: string
  readonly node?: string
}): Parameters<Store['facts']>[0] =>
  defined({ clusters: words(query.cluster), nodes: words(query.node) })

const words = (text: string | undefined): readonly string[] | undefined =>
  printable(text)
    ?.split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '')

/** No name has control characters, and not every database can be asked for them. */
function printable(text: string | undefined): string | undefined {
  if (text !== undefined && /[\u0000-\u001f\u007f]/.test(text))
    throw invalid(`${quote(text)} is no name: it has control characters`)
  return text
}

function states(text: string | undefined): readonly RecordState[] | undefined {
  const wanted = words(text?.toUpperCase())
  const unknown = wanted?.find((state) => !(STATES as readonly string[]).includes(state))
  if (unknown !== undefined)
    throw invalid(`unknown state ${quote(unknown)}; one of ${STATES.join(', ')}`)
  return wanted as readonly RecordState[] | undefined
}

const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/

/** RFC 3339 alone: what Date.parse reads beside it means another time on another host. */
function time(name: string, text: string): number {
  const epochMs = RFC3339.test(text) && isDay(text.slice(0, 10)) ? Date.parse(text) : NaN
  if (Number.isNaN(epochMs))
    throw invalid(
      `${name} ${quote(text)} is not a time as RFC 3339 writes it: 2026-01-31T12:00:00Z`,
    )
  return epochMs
}

function isDay(date: string): boolean {
  const epochMs = Date.parse(date)
  return !Number.isNaN(epochMs) && new Date(epochMs).toISOString().startsWith(date)
}

type Defined<T> = { [Key in keyof T]?: Exclude<T[Key], undefined> }

/** What was not asked for is no condition. */
const defined = <T extends object>(conditions: T): Defined<T> =>
  Object.fromEntries(
    Object.entries(conditions).filter(([, value]) => value !== undefined),
  ) as Defined<T>

const shown = (value: unknown): string =>
  typeof value === 'string' ? quote(value) : JSON.stringify(value).slice(0, 80)

const invalid = (text: string) => new HepwrapError('HW_OPTION_INVALID', text)
