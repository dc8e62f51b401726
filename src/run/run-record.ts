// The record of a run as it is opened: from what the kernel, the prolog and the request say, before anything happens.
import { rfc3339 } from '../base/clock.js'
import type { RunId } from '../base/ids.js'
import type { Usage } from '../cgroup/usage.js'
import type { RecordChange } from '../accounting/record.js'
import type { Caller } from '../identity/caller.js'
import type { JobRef } from '../slurm/job-of.js'
import type { JobFacts } from '../wire/job-api.js'
import type { RunRequest } from '../wire/run-api.js'
import type { UsageRecord } from '../wire/usage-api.js'

const MAX_COMMAND = 4096

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
  const { caller, job, jobFacts, request, jobLimits } = facts
  const labels = request?.labels ?? {}
  return {
    id: facts.runId,
    cluster: facts.cluster,
    node: facts.node,
    job_id: job?.jobId ?? jobFacts?.job_id ?? null,
    array_job_id: jobFacts?.array_job_id ?? null,
    array_task_id: jobFacts?.array_task_id ?? null,
    het_offset: jobFacts?.het_offset ?? null,
    restart_count: jobFacts?.restart_count ?? null,
    step_id: job?.stepId ?? null,
    task: job?.task ?? null,
    user: facts.userName ?? null,
    uid: caller.uid,
    group: facts.groupName ?? null,
    gid: caller.gid,
    account: jobFacts?.account ?? null,
    partition: jobFacts?.partition ?? null,
    image: storable(request?.image ?? '', 1024),
    image_id: null,
    image_digest: null,
    command: commandText([
      ...(request?.entrypoint ? [request.entrypoint] : []),
      ...(request?.command ?? []),
    ]),
    name: request?.name === undefined ? null : storable(request.name, 255),
    labels: Object.keys(labels).length === 0 ? null : labels,
    engine: null,
    engine_version: null,
    state: 'RUNNING',
    reason: null,
    exit_code: null,
    signal: null,
    oom_kills: null,
    created_at: rfc3339(facts.createdAtMs),
    started_at: null,
    ended_at: null,
    pull_ms: null,
    setup_ms: null,
    cpu_user_usec: null,
    cpu_system_usec: null,
    memory_peak_bytes: null,
    io_read_bytes: null,
    io_write_bytes: null,
    pids_peak: null,
    cpus: request?.cpus ?? jobLimits.cpus ?? null,
    memory_limit_bytes: request?.memory_bytes ?? jobLimits.memoryBytes ?? null,
    gres: jobFacts?.gres ?? null,
  }
}

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

export function usageFields(usage: Usage | undefined): RecordChange {
  return {
    oom_kills: usage?.oomKills ?? null,
    cpu_user_usec: usage?.cpuUserUsec ?? null,
    cpu_system_usec: usage?.cpuSystemUsec ?? null,
    memory_peak_bytes: usage?.memoryPeakBytes ?? null,
    io_read_bytes: usage?.ioReadBytes ?? null,
    io_write_bytes: usage?.ioWriteBytes ?? null,
    pids_peak: usage?.pidsPeak ?? null,
  }
}
