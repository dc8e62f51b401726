// A job's records → lanes and bars of a time line: pull, set-up, run. Pure.
import { plainText } from './plain-text.js'
import type { RecordState, UsageRecord } from '../wire/usage-api.js'

export type Part = 'pull' | 'setup' | RecordState

export interface JobBar {
  readonly record: UsageRecord
  readonly lane: number
  readonly part: Part
  readonly from: number
  readonly to: number
}

export interface JobLine {
  /** By task, then by time: as the lanes are. */
  readonly records: readonly UsageRecord[]
  readonly lanes: readonly string[]
  readonly bars: readonly JobBar[]
  /** Refused, or ended before it began: a moment, no bar. */
  readonly moments: readonly JobBar[]
  readonly fromMs: number
  readonly toMs: number
}

/** Containers that ran one after the other in the same task share its lane; what still runs ends now. */
export function jobLine(records: readonly UsageRecord[], nowMs: number): JobLine {
  const sorted = [...records].sort(
    (a, b) =>
      compareTasks(a, b) || a.created_at.localeCompare(b.created_at) || a.id.localeCompare(b.id),
  )
  const clusters = new Set(records.map(({ cluster }) => cluster))
  const lanes: string[] = []
  const bars: JobBar[] = []
  const moments: JobBar[] = []
  for (const record of sorted) {
    const label = laneOf(record, clusters.size > 1)
    if (lanes.at(-1) !== label) lanes.push(label)
    const lane = lanes.length - 1
    const parts = partsOf(record, nowMs)
    for (const part of parts) bars.push({ record, lane, ...part })
    if (record.ended_at !== null && !parts.some(({ part }) => part === record.state)) {
      const at = Date.parse(record.ended_at)
      moments.push({ record, lane, part: record.state, from: at, to: at })
    }
  }
  const times = [...bars, ...moments].flatMap(({ from, to }) => [from, to])
  return {
    records: sorted,
    lanes,
    bars,
    moments,
    fromMs: times.reduce((least, ms) => Math.min(least, ms), Infinity),
    toMs: times.reduce((most, ms) => Math.max(most, ms), -Infinity),
  }
}

type PartSpan = Pick<JobBar, 'part' | 'from' | 'to'>

/** Pull first, then the rest of the way to the start: what a record's two durations say. */
function partsOf(record: UsageRecord, nowMs: number): readonly PartSpan[] {
  const created = Date.parse(record.created_at)
  const ended = record.ended_at === null ? nowMs : Date.parse(record.ended_at)
  const started = record.started_at === null ? undefined : Date.parse(record.started_at)
  const ready = started ?? ended
  const pulled = Math.min(created + (record.pull_ms ?? 0), ready)
  const parts: PartSpan[] = []
  if (pulled > created) parts.push({ part: 'pull', from: created, to: pulled })
  if (record.state !== 'REFUSED' && ready > pulled)
    parts.push({ part: 'setup', from: pulled, to: ready })
  if (started !== undefined && ended >= started)
    parts.push({ part: record.state, from: started, to: ended })
  return parts
}

/** "n1 · 0.3", and the job's number where there are several: "41_2 · n1 · batch.0". */
export function laneOf(record: UsageRecord, isOfSeveral = false): string {
  const step = `${record.step_id ?? '–'}${record.task === null ? '' : `.${record.task}`}`
  const restart = (record.restart_count ?? 0) === 0 ? '' : `restart ${record.restart_count ?? 0}`
  const cluster = isOfSeveral ? record.cluster : ''
  return [cluster, jobName(record), restart, record.node, step]
    .filter((word) => word !== '')
    .map(plainText)
    .join(' · ')
}

function jobName({ array_job_id, array_task_id, het_offset, job_id }: UsageRecord): string {
  if (array_job_id !== null && array_task_id !== null) return `${array_job_id}_${array_task_id}`
  return het_offset === null ? '' : `${job_id ?? 0}+${het_offset}`
}

function compareTasks(a: UsageRecord, b: UsageRecord): number {
  const [left, right] = [taskKeys(a), taskKeys(b)]
  const at = left.findIndex((key, index) => key !== right[index])
  return at < 0 ? 0 : compareKeys(left[at], right[at])
}

type TaskKey = string | number | undefined

const taskKeys = (record: UsageRecord): readonly TaskKey[] => [
  record.cluster,
  record.array_task_id ?? -1,
  record.het_offset ?? -1,
  record.restart_count ?? 0,
  record.node,
  record.step_id ?? '',
  record.task ?? -1,
]

/** "wn2" before "wn10". */
const compareKeys = (a: TaskKey, b: TaskKey): number =>
  String(a).localeCompare(String(b), 'en', { numeric: true })
