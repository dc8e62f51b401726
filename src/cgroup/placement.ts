// The run's own cgroup directories below its caller's leaf: planned, made, entered. v1 or v2 is decided here, once.
import { HepwrapError, quote } from '../base/errors.js'
import { OUR_PREFIX, type RunId } from '../base/ids.js'
import type { CgroupRoots } from '../proc/cgroup-mounts.js'
import type { CgroupMembership } from '../proc/cgroup-of.js'
import { hasCode } from '../base/has-code.js'
import { isOwnDirectory, writeControl } from './files.js'
import type { PlacedDirectory, Placement, PlacementLimits } from './placement-types.js'
import { makeV1, planV1 } from './v1.js'
import { makeV2, planV2 } from './v2.js'

export type { Placement, PlacementLimits }

/** The directories of a run whose caller sits in these cgroups. Pure. Throws HW_CGROUP_FAILED. */
export function planPlacement(
  membership: CgroupMembership,
  runId: RunId,
  roots: CgroupRoots,
): Placement {
  const name = `${OUR_PREFIX}${runId}`
  const directories = isVersion1(membership, roots)
    ? planV1(membership, name, roots)
    : planV2(membership, name, roots)
  return { version: isVersion1(membership, roots) ? 1 : 2, directories }
}

/** Makes the directories with their limits, all or none. They must not exist. */
export function makePlacement(placement: Placement, limits: PlacementLimits = {}): void {
  const own = placement.directories.filter((directory) => directory.own)
  requireOwnNames(own)
  if (placement.version === 1) makeV1(own, limits)
  else makeV2(own, limits)
}

/** Moves a process, with all its threads, into the run's directories. */
export function enterPlacement(placement: Placement, pid: number): void {
  for (const { path, own } of placement.directories) {
    if (own) requireOwnNames([{ path }])
    try {
      writeControl(path, 'cgroup.procs', pid)
    } catch (error) {
      const why = hasCode(error, 'ESRCH')
        ? `process ${pid} is gone`
        : `process ${pid} was not let in`
      throw new HepwrapError('HW_CGROUP_FAILED', `cannot enter ${quote(path)}: ${why}`, {
        cause: error,
      })
    }
  }
}

/** v1 where the kernel counts memory there: a hybrid's unified tree has no controllers worth a directory. */
const isVersion1 = ({ v1 }: CgroupMembership, roots: CgroupRoots): boolean =>
  (v1.has('memory') && roots.v1.has('memory')) || roots.v2 === undefined

function requireOwnNames(directories: readonly { readonly path: string }[]): void {
  const alien = directories.find(({ path }) => !isOwnDirectory(path))
  if (alien === undefined) return
  throw new HepwrapError('HW_INTERNAL', `${quote(alien.path)} is not a directory of ours`)
}

/** Reports whether a value read back from the ledger is a placement; what it names is checked again at each use. */
export function isPlacement(value: unknown): value is Placement {
  const { version, directories } = (value ?? {}) as Partial<Placement>
  return (
    (version === 1 || version === 2) &&
    Array.isArray(directories) &&
    directories.every(
      ({ controller, path, own }: Partial<PlacedDirectory>) =>
        typeof controller === 'string' && typeof path === 'string' && typeof own === 'boolean',
    )
  )
}
