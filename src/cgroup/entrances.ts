// How a run's init gets into its cgroups: by itself, through tasks files that are opened for it, and where it then is.
import { constants, openSync } from 'node:fs'
import { closeFd } from '../kernel/pidfd.js'
import { cgroupDirectory, type CgroupRoots } from '../proc/cgroup-mounts.js'
import type { CgroupMembership } from '../proc/cgroup-of.js'
import type { Placement } from './placement.js'

/**
 * The open tasks files of the run's directories, in their order, for init to write itself into; none on v2, where a
 * thread cannot go from the engine's cgroup into ours by itself. The caller closes them.
 */
export function openEntrances({ version, directories }: Placement): readonly number[] {
  if (version === 2) return []
  const opened: number[] = []
  try {
    for (const { path } of directories)
      opened.push(openSync(`${path}/tasks`, constants.O_WRONLY | constants.O_NOFOLLOW))
    return opened
  } catch (error) {
    opened.forEach(closeFd)
    throw error
  }
}

/** Reports whether a process of these cgroups sits in every directory of the placement. */
export function isInside(
  { version, directories }: Placement,
  membership: CgroupMembership,
  roots: CgroupRoots,
): boolean {
  return directories.every(({ controller, path }) => {
    const name = controller.split(',')[0] ?? ''
    const root = version === 1 ? roots.v1.get(name) : roots.v2
    const where = version === 1 ? membership.v1.get(name) : membership.v2
    if (root === undefined || where === undefined) return false
    return cgroupDirectory(root, where) === path
  })
}
