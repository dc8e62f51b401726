// -m, --cpus and --shm-size go downward only, inside what Slurm gave the job.
import type { Check, Refusal } from '../check.js'

export const checkLimits: Check = ({ jobLimits, memoryBytes, cpus, shmSizeBytes }) =>
  above('--memory', memoryBytes, jobLimits.memoryBytes, 'bytes of memory') ??
  above('--cpus', cpus, jobLimits.cpus, 'cpus') ??
  // Shared memory is charged to the job as well.
  above('--shm-size', shmSizeBytes, jobLimits.memoryBytes, 'bytes of memory')

function above(
  option: string,
  asked: number | undefined,
  limit: number | undefined,
  unit: string,
): Refusal | undefined {
  if (asked === undefined || limit === undefined || asked <= limit) return undefined
  return { code: 'HW_LIMIT_ABOVE_JOB', text: `${option} ${asked}: the job has ${limit} ${unit}` }
}
