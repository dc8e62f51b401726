// What prolog, epilog and the everyday verbs say to the daemon, beside runs.
import { Type, type Static } from '@sinclair/typebox'

const strict = { additionalProperties: false } as const
const Word = Type.String({ maxLength: 1024, pattern: '^[^\\u0000-\\u001f\\u007f]*$' })
const Count = Type.Integer({ minimum: 0, maximum: 0xffffffff })

/** `PUT /v1/jobs/:job_id`, from the prolog, root only: the facts that a cgroup cannot tell. */
export const JobFacts = Type.Object(
  {
    job_id: Type.Integer({ minimum: 1, maximum: 0xfffffffd }),
    uid: Type.Optional(Count),
    user: Type.Optional(Word),
    account: Type.Optional(Word),
    partition: Type.Optional(Word),
    array_job_id: Type.Optional(Count),
    array_task_id: Type.Optional(Count),
    het_offset: Type.Optional(Count),
    restart_count: Type.Optional(Count),
    /** Slurm >= 26.05 names cgroup v2 job directories by it. */
    sluid: Type.Optional(Word),
    /** SLURMD_NODENAME: which of several slurmd on one host. */
    node_name: Type.Optional(Word),
    gres: Type.Optional(Word),
    /** Unix time, seconds: when the job reaches its time limit (SLURM_JOB_END_TIME). */
    end_time: Type.Optional(Type.Integer({ minimum: 0 })),
  },
  strict,
)
export type JobFacts = Static<typeof JobFacts>

/** Reply to `DELETE /v1/jobs/:job_id` (epilog): what was ended, and what is still alive. */
export interface JobCleaned {
  readonly ended: number
  readonly alive: readonly string[]
}

/** `GET /v1/containers?all=true` */
export interface ContainerRow {
  readonly id: string
  readonly name: string | null
  readonly user: string | null
  readonly uid: number
  readonly job_id: number | null
  readonly step_id: string | null
  readonly image: string
  readonly command: string
  readonly state: string
  readonly created_at: string
  readonly started_at: string | null
  readonly ended_at: string | null
  readonly exit_code: number | null
}

/** `POST /v1/containers/:id/kill`; `:id` is a run id, an unambiguous prefix of at least 4 characters, or a --name. */
export const KillRequest = Type.Object(
  { signal: Type.Optional(Type.String({ maxLength: 16 })) },
  strict,
)
export type KillRequest = Static<typeof KillRequest>

/** `POST /v1/containers/:id/stop` */
export const StopRequest = Type.Object(
  { timeout_s: Type.Optional(Type.Integer({ minimum: 0, maximum: 3600 })) },
  strict,
)
export type StopRequest = Static<typeof StopRequest>

/** `GET /v1/images`: what the caller may run and the node has. */
export interface ImageRow {
  readonly name: string
  readonly digest: string | null
  readonly id: string
  readonly size_bytes: number
}

/** `GET /v1/doctor`, root only. */
export interface DoctorCheck {
  readonly name: string
  readonly ok: boolean
  readonly detail: string
  /** What to do where `ok` is false. */
  readonly mend: string | null
}
