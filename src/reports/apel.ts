// Usage records of the EGI accounting (APEL individual job messages, v0.3). They are about jobs: the containers of a job that
// ended in the period are one record, so that no container is in two exports of neighbouring periods, and none is missing.
import type { NodeRow } from '../wire/ingest-api.js'
import type { UsageRecord } from '../wire/usage-api.js'

export const APEL_HEADER = 'APEL-individual-job-message: v0.3'

export interface ApelSite {
  /** As the GOCDB has it. */
  readonly site: string
  readonly submitHost: string | undefined
  /** What stands for the virtual organisation; none: local jobs. */
  readonly vo: 'none' | 'account' | 'group'
  readonly infrastructure: 'grid' | 'local'
}

export interface ApelJobs {
  /** Of containers that ran and have ended. */
  add(record: UsageRecord): void
  /** "cluster/node", where nobody has said what its cores are worth. */
  readonly unknownNodes: ReadonlySet<string>
  records(site: ApelSite): Iterable<string>
}

/** HEPscore23 of one core (hardware thread) of the node of a record, when it ended. */
export type ScorePerCore = (record: UsageRecord) => number | undefined

/** The facts that held at the time; of a record older than all of them, the oldest. */
export function scoresOf(
  nodes: readonly NodeRow[],
  defaultPerCore: number | undefined,
): ScorePerCore {
  const byNode = new Map<string, NodeRow[]>()
  for (const row of nodes) {
    const key = nodeKey(row)
    byNode.set(key, [...(byNode.get(key) ?? []), row])
  }
  for (const rows of byNode.values())
    rows.sort((one, other) => Date.parse(one.since) - Date.parse(other.since))
  return (record) => {
    const rows = byNode.get(nodeKey(record)) ?? []
    const endMs = Date.parse(record.ended_at ?? '')
    const row = rows.findLast(({ since }) => Date.parse(since) <= endMs) ?? rows[0]
    const { hepscore = null, threads = null } = row ?? {}
    return hepscore === null || threads === null || threads === 0
      ? defaultPerCore
      : hepscore / threads
  }
}

const nodeKey = ({ cluster, node }: { readonly cluster: string; readonly node: string }) =>
  `${cluster}/${node}`

interface Job {
  /** Of whichever container came first. */
  readonly first: UsageRecord
  /** Start and end of each container, ms. */
  readonly spans: [number, number][]
  /** The most CPUs that a container had, by node: those of a step share them. */
  readonly cpusByNode: Map<string, number>
  cpuUsec: number
  memoryPeakBytes: number
  /** Sums over containers of CPUs × time, plain and times score: the mean of the cores that the job held. */
  coreMs: number
  scoredMs: number
}

export function collectApelJobs(scoreOf: ScorePerCore): ApelJobs {
  const jobs = new Map<string, Job>()
  const unknownNodes = new Set<string>()
  return {
    unknownNodes,
    add: (record) => {
      const { started_at: start, ended_at: end } = record
      if (start === null || end === null) return
      const score = scoreOf(record)
      if (score === undefined) unknownNodes.add(nodeKey(record))
      const key = `${record.cluster}/${localJobId(record)}`
      const job = jobs.get(key) ?? newJob(record)
      jobs.set(key, job)
      addTo(job, record, [Date.parse(start), Date.parse(end)], score ?? 0)
    },
    records: function* (site) {
      for (const job of jobs.values()) yield formatJob(job, site)
    },
  }
}

const newJob = (first: UsageRecord): Job => ({
  first,
  spans: [],
  cpusByNode: new Map(),
  cpuUsec: 0,
  memoryPeakBytes: 0,
  coreMs: 0,
  scoredMs: 0,
})

/** A container outside of any job is a job of its own. */
const localJobId = ({ job_id, id }: UsageRecord): string => (job_id === null ? id : String(job_id))

function addTo(job: Job, record: UsageRecord, span: [number, number], score: number): void {
  const cpus = record.cpus ?? 1
  const [startMs, endMs] = span
  // One of no measurable length weighs a little, so that there is always a mean.
  const coreMs = Math.max(1, endMs - startMs) * cpus
  job.spans.push([startMs, Math.max(startMs, endMs)])
  job.cpusByNode.set(record.node, Math.max(job.cpusByNode.get(record.node) ?? 0, cpus))
  job.cpuUsec += (record.cpu_user_usec ?? 0) + (record.cpu_system_usec ?? 0)
  job.memoryPeakBytes = Math.max(job.memoryPeakBytes, record.memory_peak_bytes ?? 0)
  job.coreMs += coreMs
  job.scoredMs += coreMs * score
}

function formatJob(job: Job, site: ApelSite): string {
  const { first, spans } = job
  const starts = spans.reduce((least, [start]) => Math.min(least, start), Infinity)
  const ends = spans.reduce((most, [, end]) => Math.max(most, end), 0)
  const processors = [...job.cpusByNode.values()].reduce((sum, cpus) => sum + cpus, 0)
  const vo = { none: null, account: first.account, group: first.group }[site.vo]
  const lines: [string, string | number | null | undefined][] = [
    ['Site', site.site],
    ['SubmitHost', site.submitHost],
    ['MachineName', first.cluster],
    ['Queue', first.partition],
    ['LocalJobId', localJobId(first)],
    ['LocalUserId', first.user ?? first.uid],
    ['VO', vo],
    ['WallDuration', Math.round(coveredMs(spans) / 1000)],
    ['CpuDuration', Math.round(job.cpuUsec / 1e6)],
    ['Processors', Math.max(1, Math.ceil(processors))],
    ['NodeCount', job.cpusByNode.size],
    ['StartTime', Math.floor(starts / 1000)],
    ['EndTime', Math.floor(ends / 1000)],
    ['InfrastructureDescription', 'APEL-HEPWRAP-SLURM'],
    ['InfrastructureType', site.infrastructure],
    ['MemoryReal', job.memoryPeakBytes === 0 ? null : Math.round(job.memoryPeakBytes / 1024)],
    ['ServiceLevelType', 'HEPscore23'],
    ['ServiceLevel', Number((job.scoredMs / job.coreMs).toFixed(4))],
  ]
  const said = lines.flatMap(([key, value]) => {
    const text = asValue(value ?? '')
    return text === '' ? [] : [`${key}: ${text}\n`]
  })
  return `${said.join('')}%%\n`
}

/** Of containers side by side the time counts once; the time between containers does not count. */
function coveredMs(spans: readonly (readonly [number, number])[]): number {
  let covered = 0
  let until = 0
  for (const [start, end] of [...spans].sort(([one], [other]) => one - other)) {
    if (end <= until) continue
    covered += end - Math.max(start, until)
    until = end
  }
  return covered
}

/** A value is one line, and none ends the record. */
const asValue = (value: string | number): string =>
  String(value)
    .replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ')
    .replace(/%(?=%)/g, '% ')
    .trim()
