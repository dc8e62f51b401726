// -m, --cpus and --shm-size go downward only, inside what Slurm gave the job; --shm-size and --tmpfs inside the site's ceilings.
import { quote } from '../../base/errors.js'
import { originText, type Setting } from '../../rules/site-policy.js'
import { parseSize } from '../../rules/sizes.js'
import type { Check, Verdict } from '../check.js'

export const checkLimits: Check = (plan, site) => {
  const { jobLimits, memoryBytes, cpus, shmSizeBytes, mounts } = plan
  const sizes = mounts.flatMap((mount) =>
    mount.kind === 'tmpfs' ? [{ target: mount.target, bytes: mount.sizeBytes }] : [],
  )
  return [
    ...withinJob('--memory', memoryBytes, jobLimits.memoryBytes, 'bytes of memory'),
    ...withinJob('--cpus', cpus, jobLimits.cpus, 'cpus'),
    // Shared memory is charged to the job as well.
    ...withinJob('--shm-size', shmSizeBytes, jobLimits.memoryBytes, 'bytes of memory'),
    ...withinSite('--shm-size', shmSizeBytes, site['ceilings.shm']),
    ...sizes.flatMap(({ target, bytes }) =>
      withinSite(`--tmpfs ${quote(target)}`, bytes, site['ceilings.tmpfs']),
    ),
  ]
}

function withinJob(
  option: string,
  asked: number | undefined,
  limit: number | undefined,
  unit: string,
): readonly Verdict[] {
  if (asked === undefined || limit === undefined) return []
  const point = { point: option, value: String(asked), decidedBy: "the job's own limit" }
  if (asked <= limit) return [point]
  const text = `${option} ${asked}: the job has ${limit} ${unit}`
  return [{ ...point, refusal: { code: 'HW_LIMIT_ABOVE_JOB', text } }]
}

function withinSite(
  option: string,
  asked: number | undefined,
  { value, by }: Setting<string>,
): readonly Verdict[] {
  const ceiling = parseSize(value)
  if (asked === undefined || ceiling === undefined) return []
  const point = { point: option, value: String(asked), decidedBy: originText(by) }
  if (asked <= ceiling) return [point]
  const text = `${option} ${asked}: this site allows ${ceiling} bytes (${by.key} = ${quote(value)})`
  return [{ ...point, refusal: { code: 'HW_LIMIT_ABOVE_SITE', text } }]
}
