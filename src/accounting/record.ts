// The accounting record as the ledger keeps it: its columns in order, and what of it may change while a run goes on.
import type { UsageRecord } from '../wire/usage-api.js'

/** What a transition may write; who, where and which image was asked for never change. */
export type RecordChange = Partial<
  Pick<
    UsageRecord,
    | 'image_id'
    | 'image_digest'
    | 'command'
    | 'engine'
    | 'engine_version'
    | 'state'
    | 'reason'
    | 'rule'
    | 'exit_code'
    | 'signal'
    | 'oom_kills'
    | 'started_at'
    | 'ended_at'
    | 'pull_ms'
    | 'setup_ms'
    | 'cpu_user_usec'
    | 'cpu_system_usec'
    | 'memory_peak_bytes'
    | 'io_read_bytes'
    | 'io_write_bytes'
    | 'pids_peak'
    | 'cpus'
    | 'memory_limit_bytes'
  >
>

/** A row of the table as SQLite gives it: labels are JSON text. */
export type RecordRow = Omit<UsageRecord, 'labels'> & { readonly labels: string | null }

/** A row as it is inserted. */
export function toRow(record: UsageRecord): Record<string, unknown> {
  const labels = record.labels === null ? null : JSON.stringify(record.labels)
  return { ...storable(record), labels }
}

/** A change as it is written. */
export const toChange = (change: RecordChange): Record<string, unknown> => storable(change)

/**
 * SQLite's strict integer columns take no fraction and nothing beyond 2^63, and a record that cannot be written is a run
 * that may not be: what a user asked for (--memory 1e300) or a kernel says ("no limit" of cgroup v1: 2^63 - 4096) is kept
 * as near as JSON can count.
 */
const storable = (fields: object): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(fields).map(([name, value]: [string, unknown]) => [
      name,
      typeof value === 'number' ? (name === 'cpus' ? bounded(value) : countable(value)) : value,
    ]),
  )

/** More than any node has; the aggregator takes no record that says so. */
const MOST_CPUS = 1e9
const bounded = (cpus: number): number => Math.max(0, Math.min(MOST_CPUS, cpus))

const countable = (value: number): number =>
  Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, Math.round(value)))

export function fromRow(row: RecordRow): UsageRecord {
  const { labels } = row
  const parsed = labels === null ? null : (JSON.parse(labels) as Readonly<Record<string, string>>)
  return { ...row, labels: parsed }
}

/** Whose records: undefined = everybody's (root). */
export interface Scope {
  readonly uid: number | undefined
}
