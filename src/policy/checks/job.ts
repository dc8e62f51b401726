// Which jobs may run containers: one that the cgroups prove, and that is the caller's where the prolog has announced it.
import type { DaemonConfig } from '../../config/schema.js'
import type { RunPlan } from '../../plan/run-plan.js'
import type { Check, Refusal } from '../check.js'

export const checkJob: Check = (plan, _site, config) => {
  const refusal = refusalOf(plan, config)
  const value = plan.job === undefined ? 'none' : nameOf(plan.job)
  const decidedBy =
    plan.job === undefined
      ? `slurm.outside_jobs = "${config.slurm.outside_jobs}"`
      : "the caller's own cgroup"
  return [{ point: 'job', value, decidedBy, ...(refusal && { refusal }) }]
}

const nameOf = (job: NonNullable<RunPlan['job']>): string =>
  `job ${job.jobId ?? job.sluid ?? 'without a number'}`

function refusalOf(
  { caller, job, jobFacts }: RunPlan,
  { slurm }: DaemonConfig,
): Refusal | undefined {
  if (job === undefined) {
    if (slurm.outside_jobs === 'allow') return undefined
    return {
      code: 'HW_OUTSIDE_JOB',
      text: `process ${caller.pid} is not in a Slurm job (slurm.outside_jobs = "refuse")`,
    }
  }
  if (jobFacts === undefined) {
    if (job.jobId === undefined)
      return {
        code: 'HW_JOB_UNANNOUNCED',
        text: `${nameOf(job)}: Slurm names it by its SLUID alone, and no prolog has announced that SLUID, or its epilog has ended it`,
      }
    if (!slurm.require_prolog) return undefined
    return {
      code: 'HW_JOB_UNANNOUNCED',
      text: `${nameOf(job)} has not been announced by the prolog (slurm.require_prolog = true)`,
    }
  }
  if (job.jobId !== undefined && job.jobId !== jobFacts.job_id)
    return {
      code: 'HW_JOB_MISMATCH',
      text: `${nameOf(job)} was announced as job ${jobFacts.job_id}`,
    }
  // Root is in nobody's job by chance, and checkCaller has let him pass.
  if (jobFacts.uid === undefined || jobFacts.uid === caller.uid || caller.uid === 0)
    return undefined
  return {
    code: 'HW_JOB_MISMATCH',
    text: `${nameOf(job)} was announced for uid ${jobFacts.uid}, and uid ${caller.uid} calls`,
  }
}
