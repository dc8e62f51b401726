// cgroup v2: one threaded child of the caller's leaf. Slurm's limits, device program, kill and accounting of the leaf then
// hold for the run as well (lab, "Moving PIDs after the start": leaf/t); the child has CPU time of its own.
import { dirname } from 'node:path'
import { HepwrapError, quote } from '../base/errors.js'
import { cgroupDirectory, type CgroupRoots } from '../proc/cgroup-mounts.js'
import type { CgroupMembership } from '../proc/cgroup-of.js'
import { hasCode } from '../base/has-code.js'
import { writeControl } from './files.js'
import { makeDirectories } from './make.js'
import type { PlacedDirectory, PlacementLimits } from './placement-types.js'

const PERIOD_USEC = 100_000

export function planV2(
  { v2 }: CgroupMembership,
  name: string,
  roots: CgroupRoots,
): readonly PlacedDirectory[] {
  const leaf =
    roots.v2 === undefined || v2 === undefined ? undefined : cgroupDirectory(roots.v2, v2)
  if (leaf === undefined) {
    throw new HepwrapError('HW_CGROUP_FAILED', `cgroup ${quote(v2 ?? '')} cannot be seen here`)
  }
  return [{ controller: 'cgroup2', path: `${leaf}/${name}`, own: true }]
}

export function makeV2(own: readonly PlacedDirectory[], limits: PlacementLimits): void {
  if (limits.memoryBytes !== undefined) {
    throw new HepwrapError(
      'HW_OPTION_INVALID',
      `memory ${limits.memoryBytes}: on a node with cgroup v2 a run has no memory limit of its own, only its job's`,
    )
  }
  makeDirectories(own, ({ path }) => {
    writeControl(path, 'cgroup.type', 'threaded')
    if (limits.cpus !== undefined) {
      limit(path, 'cpu', 'cpu.max', `${Math.round(limits.cpus * PERIOD_USEC)} ${PERIOD_USEC}`)
    }
    if (limits.pidsMax !== undefined) limit(path, 'pids', 'pids.max', String(limits.pidsMax))
  })
}

/** A threaded controller may be given to children of a leaf that has processes (cgroup-v2.rst, Threads). */
function limit(path: string, controller: string, file: string, value: string): void {
  try {
    writeControl(dirname(path), 'cgroup.subtree_control', `+${controller}`)
    writeControl(path, file, value)
  } catch (error) {
    if (!hasCode(error, 'ENOENT', 'EINVAL', 'EBUSY', 'EOPNOTSUPP')) throw error
    throw new HepwrapError(
      'HW_OPTION_INVALID',
      `${file} ${quote(value)}: the job's cgroup on this node lacks the ${controller} controller`,
      { cause: error },
    )
  }
}
