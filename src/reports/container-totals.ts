// Records added up by job step, one at a time: what is kept grows with the steps, not with the containers.
import type { UsageRecord } from '../wire/usage-api.js'
import { withoutComponent } from './slurm-jobs.js'

export interface StepTotals {
  readonly cluster: string
  readonly jobId: number
  readonly stepId: string
  /** Refusals among them. */
  records: number
  /** That were started. */
  containers: number
  cpuUsec: number
  /** The largest of one container. */
  memoryPeakBytes: number
  /** Names, or "uid 2001" where the node knew none. */
  readonly users: Set<string>
  readonly accounts: Set<string>
  readonly nodes: Set<string>
  /** Ids of records that say RUNNING, or that never got an end. */
  readonly open: string[]
}

export interface ContainerTotals {
  /** By cluster, job and step. */
  readonly steps: ReadonlyMap<string, StepTotals>
  /** Of records outside of any job. */
  readonly outsideJobs: number
  add(record: UsageRecord): void
}

export const stepKey = (cluster: string, jobId: number, stepId: string): string =>
  `${cluster}/${jobId}.${stepId}`

export function createTotals(): ContainerTotals {
  const steps = new Map<string, StepTotals>()
  const counts = { outsideJobs: 0 }
  return {
    steps,
    get outsideJobs() {
      return counts.outsideJobs
    },
    add: (record) => {
      const { cluster, job_id: jobId } = record
      const stepId = withoutComponent(record.step_id ?? '')
      if (jobId === null) {
        counts.outsideJobs++
        return
      }
      const key = stepKey(cluster, jobId, stepId)
      const known = steps.get(key) ?? emptyTotals(cluster, jobId, stepId)
      steps.set(key, known)
      addTo(known, record)
    },
  }
}

const emptyTotals = (cluster: string, jobId: number, stepId: string): StepTotals => ({
  cluster,
  jobId,
  stepId,
  records: 0,
  containers: 0,
  cpuUsec: 0,
  memoryPeakBytes: 0,
  users: new Set(),
  accounts: new Set(),
  nodes: new Set(),
  open: [],
})

function addTo(totals: StepTotals, record: UsageRecord): void {
  totals.records++
  if (record.state !== 'REFUSED') totals.containers++
  totals.cpuUsec += (record.cpu_user_usec ?? 0) + (record.cpu_system_usec ?? 0)
  totals.memoryPeakBytes = Math.max(totals.memoryPeakBytes, record.memory_peak_bytes ?? 0)
  totals.users.add(record.user ?? `uid ${record.uid}`)
  if (record.account !== null) totals.accounts.add(record.account)
  totals.nodes.add(record.node)
  if (record.state === 'RUNNING' || record.ended_at === null) totals.open.push(record.id)
}
