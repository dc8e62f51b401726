// Where mounts may come from and go to, as far as texts tell. mounts/staging asks of what a descriptor really names, and
// there alone of mounts.allow and mounts.read_only: a link in a home may well lead to what is allowed.
import { quote } from '../../base/errors.js'
import { parseAlwaysEntry } from '../../config/always-entry.js'
import { reservedTarget } from '../../config/reserved-target.js'
import { normalized } from '../../plan/mounts.js'
import type { PlanMount } from '../../plan/run-plan.js'
import { originText, type SitePolicy } from '../../rules/site-policy.js'
import type { Check, Verdict } from '../check.js'
import { covering, mountLaw, touching, type MountLaw } from '../mount-law.js'

export const checkMounts: Check = ({ mounts }, site, config) => {
  const law = mountLaw(site, config)
  return mounts.map((mount) => judgeMount(mount, law, site))
}

function judgeMount(mount: PlanMount, law: MountLaw, site: SitePolicy): Verdict {
  const { target } = mount
  const source = mount.kind === 'tmpfs' ? 'tmpfs' : mount.source
  const point = { point: 'mount', value: `${source}:${target}` }
  const reserved = reservedTarget(target)
  if (reserved !== undefined)
    return {
      ...point,
      decidedBy: 'built in: reserved targets',
      refusal: {
        code: 'HW_MOUNT_TARGET',
        text: `mount target ${quote(target)} is reserved: ${reserved}`,
      },
    }
  if (mount.kind === 'tmpfs') return { ...point, decidedBy: originText(site['ceilings.tmpfs'].by) }
  if (mount.kind === 'site') return { ...point, decidedBy: alwaysEntry(target, site) }
  const path = normalized(mount.source)
  const denied = touching(path, law.denied)
  if (denied === undefined)
    return { ...point, decidedBy: covering(path, law.allowed)?.decidedBy ?? law.decidedBy }
  // HOME and cwd are left out by staging where they may not be: nobody asked for them.
  if (mount.origin !== 'user') return { ...point, decidedBy: `${denied.decidedBy} (left out)` }
  return {
    ...point,
    decidedBy: denied.decidedBy,
    refusal: {
      code: 'HW_MOUNT_REFUSED',
      text: `mount of ${quote(mount.source)} is not allowed on this site: ${quote(denied.path)} may not be reached`,
    },
  }
}

function alwaysEntry(target: string, site: SitePolicy): string {
  const { entries, by } = site['mounts.always']
  const entry = entries.find(({ value }) => parseAlwaysEntry(value)?.target === target)
  return entry === undefined ? originText(by) : originText(entry.by, entry.value)
}
