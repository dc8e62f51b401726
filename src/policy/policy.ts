// Whether a plan may run: an ordered list of checks, all of which must agree. A new rule is a function, a line here and its tests.
import { HepwrapError } from '../base/errors.js'
import type { DaemonConfig } from '../config/schema.js'
import type { RunPlan } from '../plan/run-plan.js'
import type { SitePolicy } from '../rules/site-policy.js'
import type { Check, Verdict } from './check.js'
import { checkCaller } from './checks/caller.js'
import { checkDevices } from './checks/devices.js'
import { checkEnvironment } from './checks/environment.js'
import { checkImage } from './checks/image.js'
import { checkJob } from './checks/job.js'
import { checkLimits } from './checks/limits.js'
import { checkMounts } from './checks/mounts.js'
import { checkNetwork } from './checks/network.js'
import { checkPull } from './checks/pull.js'
import { checkUlimits } from './checks/ulimits.js'

export { judgeImage, mayRunImage, type ImageIdentity } from './image-list.js'
export type { Verdict } from './check.js'
export { mountLaw, type MountLaw } from './mount-law.js'

/** Who and where before what: someone who may not run anything learns nothing about the rest. */
export const CHECKS: readonly Check[] = [
  checkCaller,
  checkJob,
  checkImage,
  checkPull,
  checkNetwork,
  checkLimits,
  checkUlimits,
  checkEnvironment,
  checkDevices,
  checkMounts,
]
const WHO_AND_WHERE: readonly Check[] = [checkCaller, checkJob]

/** Every point that was judged, in the order of CHECKS; nothing beyond a refusal of who or where. */
export function judge(plan: RunPlan, site: SitePolicy, config: DaemonConfig): readonly Verdict[] {
  const verdicts: Verdict[] = []
  for (const check of CHECKS) {
    const found = check(plan, site, config)
    verdicts.push(...found)
    if (WHO_AND_WHERE.includes(check) && found.some(({ refusal }) => refusal !== undefined)) break
  }
  return verdicts
}

/** Throws the first refusal. The image's digest is not known yet: ask judgeImage once it is. */
export function enforce(plan: RunPlan, site: SitePolicy, config: DaemonConfig): void {
  judge(plan, site, config).forEach(throwIfRefused)
}

export function throwIfRefused({ refusal, decidedBy }: Verdict): void {
  if (refusal === undefined) return
  const rule = decidedBy === '' ? {} : { rule: decidedBy }
  throw new HepwrapError(refusal.code, refusal.text, rule)
}
