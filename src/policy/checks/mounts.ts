// Where mounts may come from and go to, as far as texts tell. mounts/staging asks of what a descriptor really names, and
// there alone of mounts.allow and mounts.read_only: a link in a home may well lead to what is allowed.
import { quote } from '../../base/errors.js'
import { reservedTarget } from '../../config/reserved-target.js'
import { normalized } from '../../plan/mounts.js'
import type { PlanMount } from '../../plan/run-plan.js'
import type { Check, Verdict } from '../check.js'
import { mountLaw, touching, type MountLaw } from '../mount-law.js'

export const checkMounts: Check = ({ mounts }, site, config) => {
  const law = mountLaw(site, config)
  return mounts.map((mount) => judgeMount(mount, law))
}

function judgeMount(mount: PlanMount, law: MountLaw): Verdict {
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
  if (mount.kind === 'tmpfs') return { ...point, decidedBy: 'ceilings.tmpfs' }
  if (mount.kind === 'site') return { ...point, decidedBy: 'mounts.always' }
  const denied = touching(normalized(mount.source), law.denied)
  if (denied === undefined) return { ...point, decidedBy: law.decidedBy }
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
