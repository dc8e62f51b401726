// Containers against Slurm's own accounting, step by step. A container is inside of its step, so it can use less than Slurm
// counted for the step, never more; Slurm knows every job and step that a container names; and a step that has ended has no
// container that runs.
import { stepKey, type ContainerTotals, type StepTotals } from './container-totals.js'
import type { SlurmJob, SlurmStep } from './slurm-jobs.js'

export const FINDINGS = {
  'other-user': 'records name another user than the job has in Slurm',
  'other-account': 'records name another account than the job has in Slurm',
  'unknown-job': 'Slurm knows no such job',
  'unknown-step': 'Slurm knows the job, but no such step',
  'open-record': 'the record was never closed, and its step has ended',
  'missing-record': 'a step that ran hepwrap has fewer records than tasks',
  'cpu-above-step': 'containers used more CPU time than Slurm counted for their step',
  'memory-above-step': 'a container held more memory than its step was given',
} as const
export type FindingKind = keyof typeof FINDINGS

export interface Finding {
  readonly kind: FindingKind
  readonly cluster: string
  readonly jobId: number
  readonly stepId: string
  /** Slurm's where it has one. */
  readonly user: string | undefined
  readonly account: string | undefined
  readonly nodes: readonly string[]
  readonly containers: number
  /** What the records say, and what Slurm says: names, µs, bytes, counts, by kind. */
  readonly hepwrap: string | number | undefined
  readonly slurm: string | number | undefined
}

export interface Reconciliation {
  /** The worst first. */
  readonly findings: readonly Finding[]
  readonly comparedJobs: number
  readonly comparedSteps: number
  readonly containers: number
  readonly outsideJobs: number
  /** Steps of jobs of which Slurm has purged the steps. */
  readonly purgedSteps: number
}

export interface ReconcileOptions {
  /** 0.05: five per cent. */
  readonly tolerance: number
  /** The period that was asked for: steps that are wholly in it have all their records here. */
  readonly sinceMs: number
  readonly untilMs: number
  /** Of steps that ended later records may still be on their way. */
  readonly settledMs: number
}

/** Of each task Slurm keeps whole seconds of user and of system time (jobacct_gather/cgroup, 22.05): up to two are lost. */
const LOST_USEC_PER_TASK = 2_000_000

export function reconcile(
  totals: ContainerTotals,
  jobs: readonly SlurmJob[],
  options: ReconcileOptions,
): Reconciliation {
  const slurm = mergeRestarts(jobs)
  const findings: Finding[] = []
  const seenJobs = new Set<string>()
  const counts = { steps: 0, containers: 0, purged: 0 }
  for (const total of totals.steps.values()) {
    counts.containers += total.containers
    const job = slurm.get(jobKey(total.cluster, total.jobId))
    if (job === undefined) {
      findings.push(finding('unknown-job', total, undefined, namesOf(total.users), undefined))
      continue
    }
    seenJobs.add(jobKey(job.cluster, job.id))
    findings.push(...compareOwner(total, job))
    if (job.steps.length === 0 && job.isEnded) counts.purged++
    else counts.steps++
    findings.push(...compareStep(total, job, options))
  }
  for (const job of slurm.values()) findings.push(...missingRecords(job, totals, options))
  return {
    findings: findings.sort(byWeight),
    comparedJobs: seenJobs.size,
    comparedSteps: counts.steps,
    containers: counts.containers,
    outsideJobs: totals.outsideJobs,
    purgedSteps: counts.purged,
  }
}

const jobKey = (cluster: string, id: number) => `${cluster}/${id}`

/** A job that was requeued is there once for each time that it ran. */
function mergeRestarts(jobs: readonly SlurmJob[]): ReadonlyMap<string, SlurmJob> {
  const merged = new Map<string, SlurmJob>()
  for (const job of jobs) {
    const key = jobKey(job.cluster, job.id)
    const known = merged.get(key)
    merged.set(
      key,
      known === undefined
        ? job
        : {
            ...job,
            isEnded: known.isEnded && job.isEnded,
            steps: mergeSteps([...known.steps, ...job.steps]),
          },
    )
  }
  return merged
}

function mergeSteps(steps: readonly SlurmStep[]): readonly SlurmStep[] {
  const merged = new Map<string, SlurmStep>()
  for (const step of steps) {
    const known = merged.get(step.id)
    merged.set(step.id, known === undefined ? step : mergeTwo(known, step))
  }
  return [...merged.values()]
}

const mergeTwo = (one: SlurmStep, other: SlurmStep): SlurmStep => ({
  ...other,
  isEnded: one.isEnded && other.isEnded,
  cpuUsec: plus(one.cpuUsec, other.cpuUsec),
  tasks: plus(one.tasks, other.tasks),
  memoryLimitBytes: most(one.memoryLimitBytes, other.memoryLimitBytes),
  maxRssBytes: most(one.maxRssBytes, other.maxRssBytes),
  startMs: one.startMs,
})

const plus = (a: number | undefined, b: number | undefined) =>
  a === undefined || b === undefined ? (a ?? b) : a + b
const most = (a: number | undefined, b: number | undefined) =>
  a === undefined || b === undefined ? undefined : Math.max(a, b)

function compareOwner(total: StepTotals, job: SlurmJob): Finding[] {
  const findings: Finding[] = []
  const users = [...total.users].filter((user) => user !== job.user && !user.startsWith('uid '))
  if (job.user !== undefined && users.length > 0)
    findings.push(finding('other-user', total, job, users.join(','), job.user))
  const accounts = [...total.accounts].filter((account) => account !== job.account)
  if (job.account !== undefined && accounts.length > 0)
    findings.push(finding('other-account', total, job, accounts.join(','), job.account))
  return findings
}

function compareStep(total: StepTotals, job: SlurmJob, options: ReconcileOptions): Finding[] {
  const step = job.steps.find(({ id }) => id === total.stepId)
  const isOver = step === undefined ? job.isEnded : isSettled(step, options)
  const findings: Finding[] = []
  if (isOver && total.open.length > 0)
    findings.push(finding('open-record', total, job, total.open.join(','), 'ended'))
  if (step !== undefined) findings.push(...compareUsage(total, step, job, options))
  else if (total.stepId !== '' && job.steps.length > 0)
    findings.push(finding('unknown-step', total, job, total.stepId, undefined))
  return findings
}

const isSettled = ({ isEnded, endMs = 0 }: SlurmStep, { settledMs }: ReconcileOptions): boolean =>
  isEnded && endMs <= settledMs

function compareUsage(
  total: StepTotals,
  step: SlurmStep,
  job: SlurmJob,
  { tolerance }: ReconcileOptions,
): Finding[] {
  const findings: Finding[] = []
  const { cpuUsec, memoryLimitBytes: limit } = step
  // Of a step that goes on Slurm's database knows no usage.
  const isCpuAbove =
    step.isEnded &&
    cpuUsec !== undefined &&
    total.cpuUsec > cpuUsec * (1 + tolerance) &&
    total.cpuUsec - cpuUsec > LOST_USEC_PER_TASK * Math.max(1, step.tasks ?? 1)
  if (isCpuAbove) findings.push(finding('cpu-above-step', total, job, total.cpuUsec, cpuUsec))
  if (limit !== undefined && total.memoryPeakBytes > limit * (1 + tolerance))
    findings.push(finding('memory-above-step', total, job, total.memoryPeakBytes, limit))
  return findings
}

/**
 * `srun hepwrap run …` makes a step named hepwrap, and each of its tasks leaves a record, if only of a refusal. A step
 * that ended with 125 may have been turned away before there was one.
 */
function missingRecords(
  job: SlurmJob,
  totals: ContainerTotals,
  options: ReconcileOptions,
): Finding[] {
  const { sinceMs, untilMs } = options
  return job.steps.flatMap((step) => {
    const isWhole = (step.startMs ?? 0) >= sinceMs && (step.endMs ?? Infinity) <= untilMs
    if (!isWhole || !isSettled(step, options) || !hasRecords(step)) return []
    const place = { cluster: job.cluster, jobId: job.id, stepId: step.id }
    const total = totals.steps.get(stepKey(job.cluster, job.id, step.id))
    const [records, wanted] = [total?.records ?? 0, step.tasks ?? 1]
    return records >= wanted
      ? []
      : [finding('missing-record', total ?? place, job, records, wanted)]
  })
}

const hasRecords = ({ name, exitStatus }: SlurmStep): boolean =>
  name === 'hepwrap' && exitStatus !== REFUSED_STATUS

const REFUSED_STATUS = 125

function finding(
  kind: FindingKind,
  total: Pick<StepTotals, 'cluster' | 'jobId' | 'stepId'> & Partial<StepTotals>,
  job: SlurmJob | undefined,
  hepwrap: Finding['hepwrap'],
  slurm: Finding['slurm'],
): Finding {
  return {
    kind,
    cluster: total.cluster,
    jobId: total.jobId,
    stepId: total.stepId,
    user: job?.user ?? namesOf(total.users),
    account: job?.account ?? namesOf(total.accounts),
    nodes: [...(total.nodes ?? [])].sort(),
    containers: total.containers ?? 0,
    hepwrap,
    slurm,
  }
}

const namesOf = (names: ReadonlySet<string> | undefined): string | undefined =>
  names === undefined || names.size === 0 ? undefined : [...names].sort().join(',')

const WEIGHT = Object.keys(FINDINGS)

const byWeight = (one: Finding, other: Finding): number =>
  WEIGHT.indexOf(one.kind) - WEIGHT.indexOf(other.kind) ||
  one.cluster.localeCompare(other.cluster) ||
  one.jobId - other.jobId ||
  one.stepId.localeCompare(other.stepId)
