// The accounting record and how it is asked for: `GET /v1/records` of the daemon and of the aggregator.
import { Type, type Static } from '@sinclair/typebox'

export const STATES = [
  'RUNNING',
  'COMPLETED',
  'FAILED',
  'CANCELLED',
  'TIMEOUT',
  'OUT_OF_MEMORY',
  'NODE_FAIL',
  'REFUSED',
] as const
export type RecordState = (typeof STATES)[number]

/** One container's record; times RFC 3339 UTC with milliseconds, absent = null (never 0). Order = the columns of csv. */
export interface UsageRecord {
  readonly id: string
  readonly cluster: string
  readonly node: string
  readonly job_id: number | null
  readonly array_job_id: number | null
  readonly array_task_id: number | null
  readonly het_offset: number | null
  readonly restart_count: number | null
  readonly step_id: string | null
  readonly task: number | null
  readonly user: string | null
  readonly uid: number
  readonly group: string | null
  readonly gid: number
  readonly account: string | null
  readonly partition: string | null
  readonly image: string
  readonly image_id: string | null
  readonly image_digest: string | null
  /** argv[0] and its arguments, joined for display, cut at 4096 characters. */
  readonly command: string
  readonly name: string | null
  readonly labels: Readonly<Record<string, string>> | null
  readonly engine: string | null
  readonly engine_version: string | null
  readonly state: RecordState
  readonly reason: string | null
  readonly exit_code: number | null
  readonly signal: number | null
  readonly oom_kills: number | null
  readonly created_at: string
  readonly started_at: string | null
  readonly ended_at: string | null
  readonly pull_ms: number | null
  readonly setup_ms: number | null
  readonly cpu_user_usec: number | null
  readonly cpu_system_usec: number | null
  readonly memory_peak_bytes: number | null
  readonly io_read_bytes: number | null
  readonly io_write_bytes: number | null
  readonly pids_peak: number | null
  readonly cpus: number | null
  readonly memory_limit_bytes: number | null
  readonly gres: string | null
  /** Of a refusal by the site: what says so, with file and line. */
  readonly rule: string | null
}

const Text = Type.String({ minLength: 1, maxLength: 1024 })

/** Query of `GET /v1/records`; the reply is NDJSON, oldest first. `since`/`until` are RFC 3339. */
export const RecordsQuery = Type.Object(
  {
    job: Type.Optional(Type.String({ pattern: '^[0-9]{1,10}(,[0-9]{1,10}){0,99}$' })),
    user: Type.Optional(Text),
    since: Type.Optional(Text),
    until: Type.Optional(Text),
    state: Type.Optional(Text),
    /** A glob over the image name: * and ?. */
    image: Type.Optional(Text),
  },
  { additionalProperties: false },
)
export type RecordsQuery = Static<typeof RecordsQuery>
