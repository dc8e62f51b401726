// Where mounts may come from and go to, as far as texts tell. mounts/staging asks the same of what a descriptor really names.
import { quote } from '../../base/errors.js'
import { reservedTarget } from '../../config/reserved-target.js'
import { normalized } from '../../plan/mounts.js'
import type { Check } from '../check.js'
import { deniedBy, deniedMountPaths } from '../denied-mounts.js'

export const checkMounts: Check = ({ mounts }, config) => {
  const denied = deniedMountPaths(config)
  for (const mount of mounts) {
    const reserved = reservedTarget(mount.target)
    if (reserved !== undefined)
      return {
        code: 'HW_MOUNT_TARGET',
        text: `mount target ${quote(mount.target)} is reserved: ${reserved}`,
      }
    // The site may mount what it likes; HOME and cwd are left out by staging where they may not be.
    if (mount.kind !== 'caller' || mount.origin !== 'user') continue
    const entry = deniedBy(normalized(mount.source), denied)
    if (entry !== undefined)
      return {
        code: 'HW_MOUNT_REFUSED',
        text: `mount of ${quote(mount.source)} is not allowed on this site: ${quote(entry)} may not be reached`,
      }
  }
  return undefined
}
