// What people ask the aggregator: `GET /v1/usage`, sums over records that have ended, and the fields of its rows.
import { Type, type Static } from '@sinclair/typebox'
import { RecordsQuery } from './usage-api.js'

export const USAGE_KEYS = [
  'cluster',
  'user',
  'account',
  'image',
  'node',
  'state',
  'hour',
  'day',
  'week',
  'month',
] as const
export type UsageKey = (typeof USAGE_KEYS)[number]

const Text = Type.String({ minLength: 1, maxLength: 1024 })
/** A list: names of images are long. */
const Names = Type.String({ minLength: 1, maxLength: 8192 })

/**
 * `GET /v1/records` of the aggregator: the daemon's filters and these. Names as in UsageQuery. Without `limit` the whole
 * answer is one stream; with it a page, and the header `hepwrap-next-cursor` where there are more.
 */
export const SiteRecordsQuery = Type.Object(
  {
    ...RecordsQuery.properties,
    user: Type.Optional(Names),
    image: Type.Optional(Names),
    account: Type.Optional(Names),
    node: Type.Optional(Names),
    cluster: Type.Optional(Names),
    partition: Type.Optional(Names),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000 })),
    cursor: Type.Optional(Text),
  },
  { additionalProperties: false },
)
export type SiteRecordsQuery = Static<typeof SiteRecordsQuery>

/**
 * A run counts in the hour (UTC) in which it ended, whole, as in the EGI accounting. `since` inclusive and `until`
 * exclusive are rounded down to that hour. Names are exact, or globs with * and ?; several with commas.
 */
export const UsageQuery = Type.Object(
  {
    /** One or more of USAGE_KEYS with commas, at most one of them a period; absent: one row for all. */
    by: Type.Optional(Type.String({ pattern: '^[a-z]+(,[a-z]+){0,5}$' })),
    since: Type.Optional(Text),
    until: Type.Optional(Text),
    cluster: Type.Optional(Names),
    user: Type.Optional(Names),
    account: Type.Optional(Names),
    image: Type.Optional(Names),
    node: Type.Optional(Names),
    state: Type.Optional(Text),
    /** The `top` rows with the most of `sort`, within each period if there is one; absent: all, by their keys. */
    top: Type.Optional(Type.Integer({ minimum: 1, maximum: 100_000 })),
    sort: Type.Optional(
      Type.String({
        pattern: '^(runs|failed|cpu_usec|alloc_cpu_usec|memory_mib_s|io_bytes|elapsed_ms)$',
      }),
    ),
  },
  { additionalProperties: false },
)
export type UsageQuery = Static<typeof UsageQuery>

/** The sums of one row. Absent measures of a record add nothing; whole numbers, so that a correction subtracts exactly. */
export interface UsageSums {
  /** Containers that ran or were refused: every record that has ended. */
  readonly runs: number
  /** Of them FAILED, TIMEOUT, OUT_OF_MEMORY or NODE_FAIL. */
  readonly failed: number
  /** Of them REFUSED. */
  readonly refused: number
  /** Wall time from start to end, ms. */
  readonly elapsed_ms: number
  /** User and system. */
  readonly cpu_usec: number
  /** Elapsed time × CPUs of the container, for the records that have both. */
  readonly alloc_cpu_usec: number
  /** cpu_usec of the records that count in alloc_cpu_usec: efficiency = this ÷ that. */
  readonly used_cpu_usec: number
  /** Peak memory × elapsed time, MiB·s. */
  readonly memory_mib_s: number
  readonly io_read_bytes: number
  readonly io_write_bytes: number
}

/** A row: the keys that were asked for (null where records have none; hour, day, week and month as RFC 3339 of their begin), then sums. */
export type UsageRow = { readonly [Key in UsageKey]?: string | null } & UsageSums
