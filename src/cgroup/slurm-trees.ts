// Where Slurm's trees lie on this node, found by their names. What users own is left out: in a tree of his own anybody
// may make directories of any name, and thousands of them.
import { lstatSync } from 'node:fs'
import type { CgroupRoots } from '../proc/cgroup-mounts.js'
import { isSlurmRootV1, isSlurmRootV2 } from '../slurm/cgroup-names.js'
import { childrenOf } from './tree.js'

/** Directories like "/sys/fs/cgroup/memory/slurm_n1", one a hierarchy; of one node, or all there are. */
export function slurmRootsV1({ v1 }: CgroupRoots, nodeName?: string): readonly string[] {
  const mountPoints = new Set([...v1.values()].map(({ mountPoint }) => mountPoint))
  return [...mountPoints].flatMap((mountPoint) =>
    childrenNamed(mountPoint, (name) => isSlurmRootV1(name) && isOfNode(name, nodeName)),
  )
}

/** Directories like "/sys/fs/cgroup/system.slice/n1_slurmstepd.scope", below any slice of root's own. */
export function slurmRootsV2({ v2 }: CgroupRoots, nodeName?: string): readonly string[] {
  const isRoot = (name: string) => isSlurmRootV2(name) && isOfNode(name, nodeName)
  const below = (directory: string): readonly string[] => [
    ...childrenNamed(directory, isRoot),
    ...childrenNamed(directory, (name) => name.endsWith('.slice')).flatMap(below),
  ]
  return v2 === undefined ? [] : below(v2.mountPoint)
}

/** Paths of the child cgroups with such a name that belong to root. */
export const childrenNamed = (
  directory: string,
  accepts: (name: string) => boolean,
): readonly string[] =>
  (childrenOf(directory) ?? [])
    .filter(accepts)
    .map((name) => `${directory}/${name}`)
    .filter(isOurs)

/** "slurm_n1" and "n1_slurmstepd.scope" name their node; "slurm" and "slurmstepd.scope" are of the only one. */
const isOfNode = (root: string, nodeName: string | undefined): boolean =>
  nodeName === undefined ||
  ['slurm', `slurm_${nodeName}`, 'slurmstepd.scope', `${nodeName}_slurmstepd.scope`].includes(root)

/** Root's, as the daemon is. */
function isOurs(directory: string): boolean {
  return lstatSync(directory, { throwIfNoEntry: false })?.uid === process.geteuid?.()
}
