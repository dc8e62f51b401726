// The accounting record as the ledger keeps it: its columns in order, and what of it may change while a run goes on.
import type { UsageRecord } from '../wire/usage-api.js'

/** The contract's fields, in its order: the columns of csv and parsable, and of the ledger's table. */
export const RECORD_FIELDS = [
  'id',
  'cluster',
  'node',
  'job_id',
  'array_job_id',
  'array_task_id',
  'het_offset',
  'restart_count',
  'step_id',
  'task',
  'user',
  'uid',
  'group',
  'gid',
  'account',
  'partition',
  'image',
  'image_id',
  'image_digest',
  'command',
  'name',
  'labels',
  'engine',
  'engine_version',
  'state',
  'reason',
  'exit_code',
  'signal',
  'oom_kills',
  'created_at',
  'started_at',
  'ended_at',
  'pull_ms',
  'setup_ms',
  'cpu_user_usec',
  'cpu_system_usec',
  'memory_peak_bytes',
  'io_read_bytes',
  'io_write_bytes',
  'pids_peak',
  'cpus',
  'memory_limit_bytes',
  'gres',
] as const satisfies readonly (keyof UsageRecord)[]

type Missing = Exclude<keyof UsageRecord, (typeof RECORD_FIELDS)[number]>
const _everyFieldIsListed: Missing extends never ? true : Missing = true
void _everyFieldIsListed

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
export type RecordRow = Omit<UsageRecord, 'labels'> & {
  readonly labels: string | null
  readonly seq: number
}

export function toRow(record: UsageRecord): Record<string, unknown> {
  return { ...record, labels: record.labels === null ? null : JSON.stringify(record.labels) }
}

export function fromRow({ seq: _seq, ...row }: RecordRow): UsageRecord {
  return {
    ...row,
    labels: row.labels === null ? null : (JSON.parse(row.labels) as Record<string, string>),
  }
}
