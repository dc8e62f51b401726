// cgroup v2: one threaded child of the caller's leaf. Slurm's limits, device program, kill and accounting of the leaf then
// hold for the run as well; the child has CPU time and processes of its own (docs/decisions/0009).
import { dirname } from 'node:path'
import { HepwrapError, quote } from '../base/errors.js'
import { cgroupDirectory, type CgroupRoots } from '../proc/cgroup-mounts.js'
import type { CgroupMembership } from '../proc/cgroup-of.js'
import { enable, enableAbove } from './delegation.js'
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
    enableAbove(dirname(path))
    writeControl(path, 'cgroup.type', 'threaded')
    limitPids(path, limits)
    if (limits.cpus !== undefined) {
      requireController(path, 'cpu', `cpus ${limits.cpus}`)
      writeControl(path, 'cpu.max', `${Math.round(limits.cpus * PERIOD_USEC)} ${PERIOD_USEC}`)
    }
  })
}

/** Counted in any case, where it can be. */
function limitPids(path: string, { pidsMax, isPidsMaxUsual }: PlacementLimits): void {
  const isThere = enable(dirname(path), 'pids')
  if (pidsMax === undefined || (isPidsMaxUsual === true && !isThere)) return
  requireController(path, 'pids', `ceilings.pids ${pidsMax}`)
  writeControl(path, 'pids.max', pidsMax)
}

/** A leaf that has processes can give its threaded children cpu, cpuset and pids (cgroup-v2.rst, Threads). */
function requireController(path: string, controller: string, asked: string): void {
  if (enable(dirname(path), controller)) return
  throw new HepwrapError(
    'HW_OPTION_INVALID',
    `${asked}: the job's cgroup on this node lacks the ${controller} controller`,
  )
}
