// Controllers that Slurm has been given for its cgroup v2 tree and does not hand on: io and pids (it enables cpuset, cpu and
// memory). The engine's runtime enables all there are on its way down, whenever a container is made in a job; so do we, for these.
import { basename, dirname } from 'node:path'
import { hasCode } from '../base/has-code.js'
import { isSlurmRootV2 } from '../slurm/cgroup-names.js'
import { readControl, writeControl } from './files.js'

/** io: the leaf's io.stat. pids: what a run's own pids.max and pids.peak need above them. */
const WANTED = ['io', 'pids'] as const

/** From Slurm's scope down to above the caller's leaf; outside of Slurm's tree nothing. What cannot be had is left out. */
export function enableAbove(leaf: string): void {
  for (const directory of slurmsAbove(leaf)) {
    for (const controller of WANTED) enable(directory, controller)
  }
}

/** Gives a controller to the children of a directory; false: it has none to give. */
export function enable(directory: string, controller: string): boolean {
  const words = (file: string) => (readControl(directory, file) ?? '').split(' ')
  if (words('cgroup.subtree_control').includes(controller)) return true
  if (!words('cgroup.controllers').includes(controller)) return false
  try {
    writeControl(directory, 'cgroup.subtree_control', `+${controller}`)
    return true
  } catch (error) {
    // Taken from it meanwhile; a populated domain, which cannot give what no threaded cgroup has.
    if (hasCode(error, 'ENOENT', 'ENODEV', 'EINVAL', 'EBUSY', 'EOPNOTSUPP', 'ENOTSUP')) return false
    throw error
  }
}

/** Outermost first: "…/n1_slurmstepd.scope", "…/job_7", "…/step_0", "…/user". */
function slurmsAbove(leaf: string): readonly string[] {
  const found: string[] = []
  for (let at = dirname(leaf); at !== dirname(at); at = dirname(at)) {
    found.unshift(at)
    if (isSlurmRootV2(basename(at))) return found
  }
  return []
}
