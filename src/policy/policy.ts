// Whether a plan may run: an ordered list of checks, all of which must agree. A new rule is a function, a line here and its tests.
import { HepwrapError } from '../base/errors.js'
import type { DaemonConfig } from '../config/schema.js'
import type { RunPlan } from '../plan/run-plan.js'
import type { Check } from './check.js'
import { checkCaller } from './checks/caller.js'
import { checkImage } from './checks/image.js'
import { checkJob } from './checks/job.js'
import { checkLimits } from './checks/limits.js'
import { checkMounts } from './checks/mounts.js'
import { checkPull } from './checks/pull.js'
import { checkUlimits } from './checks/ulimits.js'

export { deniedMountPaths } from './denied-mounts.js'
export { isAllowedImage } from './image-list.js'

/** Who and where before what: someone who may not run anything learns nothing about the rest. */
export const CHECKS: readonly Check[] = [
  checkCaller,
  checkJob,
  checkImage,
  checkPull,
  checkLimits,
  checkUlimits,
  checkMounts,
]

/** Throws the first refusal. The image's digest is not known yet: ask isAllowedImage again once it is. */
export function enforce(plan: RunPlan, config: DaemonConfig): void {
  for (const check of CHECKS) {
    const refusal = check(plan, config)
    if (refusal !== undefined) throw new HepwrapError(refusal.code, refusal.text)
  }
}
