// Which jobs may run containers: one that the cgroups prove, and that is the caller's where the prolog has announced it.
import type { Check } from '../check.js'

export const checkJob: Check = ({ caller, job, jobFacts }, { slurm }) => {
  if (job === undefined) {
    if (slurm.outside_jobs === 'allow') return undefined
    return {
      code: 'HW_OUTSIDE_JOB',
      text: `process ${caller.pid} is not in a Slurm job (slurm.outside_jobs = "refuse")`,
    }
  }
  const name = `job ${job.jobId ?? job.sluid ?? 'without a number'}`
  if (jobFacts === undefined) {
    if (!slurm.require_prolog) return undefined
    return {
      code: 'HW_JOB_UNANNOUNCED',
      text: `${name} has not been announced by the prolog (slurm.require_prolog = true)`,
    }
  }
  if (job.jobId !== undefined && job.jobId !== jobFacts.job_id)
    return { code: 'HW_JOB_MISMATCH', text: `${name} was announced as job ${jobFacts.job_id}` }
  // Root is in nobody's job by chance, and checkCaller has let him pass.
  if (jobFacts.uid === undefined || jobFacts.uid === caller.uid || caller.uid === 0)
    return undefined
  return {
    code: 'HW_JOB_MISMATCH',
    text: `${name} was announced for uid ${jobFacts.uid}, and uid ${caller.uid} calls`,
  }
}
