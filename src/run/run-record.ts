// The record of a run as it is opened: from what the kernel, the prolog and the request say, before anything happens.
import { rfc3339 } from '../base/clock.js'
import type { RunId } from '../base/ids.js'
import type { Usage } from '../cgroup/usage.js'
import type { RecordChange } from '../accounting/record.js'
import type { Caller } from '../identity/caller.js'
import { labelsLength, MAX_LABELS } from '../plan/make-plan.js'
import type { JobRef } from '../slurm/job-of.js'
import type { JobFacts } from '../wire/job-api.js'
import type { RunRequest } from '../wire/run-api.js'
import type { UsageRecord } from '../wire/usage-api.js'

const MAX_COMMAND = 4096

const NO_USAGE = {
  oom_kills: null,
  cpu_user_usec: null,
  cpu_system_usec: null,
  memory_peak_bytes: null,
  io_read_bytes: null,
  io_write_bytes: null,
  pids_peak: null,
} as const

/** What a run has not done yet, and what may never be known of it: null, never 0. */
const NOTHING_YET = {
  ...NO_USAGE,
  job_id: null,
  array_job_id: null,
  array_task_id: null,
  het_offset: null,
  restart_count: null,
  step_id: null,
  task: null,
  user: null,
  group: null,
  account: null,
  partition: null,
  gres: null,
  name: null,
  labels: null,
  cpus: null,
  memory_limit_bytes: null,
  image_id: null,
  image_digest: null,
  engine: null,
  engine_version: null,
  state: 'RUNNING',
  reason: null,
  rule: null,
  exit_code: null,
  signal: null,
  started_at: null,
  ended_at: null,
  pull_ms: null,
  setup_ms: null,
} as const

export interface DraftFacts {
  readonly runId: RunId
  readonly cluster: string
  readonly node: string
  readonly caller: Caller
  readonly userName: string | undefined
  readonly groupName: string | undefined
  readonly job: JobRef | undefined
  readonly jobFacts: JobFacts | undefined
  readonly jobLimits: {
    readonly memoryBytes: number | undefined
    readonly cpus: number | undefined
  }
  /** Undefined where the request could not be read at all. */
  readonly request: RunRequest | undefined
  readonly createdAtMs: number
}

export function draftRecord(facts: DraftFacts): UsageRecord {
  return { ...NOTHING_YET, ...withoutUndefined({ ...whoAndWhere(facts), ...asked(facts) }) }
}

function whoAndWhere({ runId, cluster, node, caller, userName, groupName, ...facts }: DraftFacts) {
  const job: Partial<JobRef> = facts.job ?? {}
  const announced: Partial<JobFacts> = facts.jobFacts ?? {}
  return {
    id: runId,
    cluster,
    node,
    job_id: job.jobId ?? announced.job_id,
    array_job_id: announced.array_job_id,
    array_task_id: announced.array_task_id,
    het_offset: announced.het_offset,
    restart_count: announced.restart_count,
    step_id: job.stepId,
    task: job.task,
    user: userName,
    uid: caller.uid,
    group: groupName,
    gid: caller.gid,
    account: announced.account,
    partition: announced.partition,
    gres: announced.gres,
  }
}

function asked({ jobLimits, createdAtMs, ...facts }: DraftFacts) {
  const request: Partial<RunRequest> = facts.request ?? {}
  const { image = '', command = [], entrypoint = '', name, labels = {} } = request
  return {
    image: storable(image, 1024),
    command: commandText(entrypoint === '' ? command : [entrypoint, ...command]),
    name: name === undefined ? undefined : storable(name, 255),
    labels: isKept(labels) ? labels : undefined,
    created_at: rfc3339(createdAtMs),
    cpus: request.cpus ?? jobLimits.cpus,
    memory_limit_bytes: request.memory_bytes ?? jobLimits.memoryBytes,
  }
}

/** Those of a refused request may be any number. */
const isKept = (labels: Readonly<Record<string, string>>): boolean =>
  Object.keys(labels).length > 0 && labelsLength(labels) <= MAX_LABELS

type Defined<T> = { [Key in keyof T]: Exclude<T[Key], undefined> }

/** What is not known is left to the null that stands there already. */
const withoutUndefined = <T extends object>(fields: T): Defined<T> =>
  Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined),
  ) as Defined<T>

/** Words as a shell would read them back, cut at 4096 characters. */
export function commandText(words: readonly string[]): string {
  const text = words
    .slice(0, 256)
    .map((word) => word.slice(0, MAX_COMMAND))
    .map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`))
    .join(' ')
  return storable(text, MAX_COMMAND)
}

const storable = (text: string, maxLength: number): string =>
  text.replaceAll('\0', '\uFFFD').slice(0, maxLength)

export const usageFields = (usage: Usage | undefined): RecordChange => ({
  ...NO_USAGE,
  ...(usage === undefined ? {} : withoutUndefined(inColumns(usage))),
})

const inColumns = (usage: Usage) => ({
  oom_kills: usage.oomKills,
  cpu_user_usec: usage.cpuUserUsec,
  cpu_system_usec: usage.cpuSystemUsec,
  memory_peak_bytes: usage.memoryPeakBytes,
  io_read_bytes: usage.ioReadBytes,
  io_write_bytes: usage.ioWriteBytes,
  pids_peak: usage.pidsPeak,
})
