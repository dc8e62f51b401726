// What the caller's job leaves him: the tightest memory limit above him, and his CPUs.
import { dirname } from 'node:path'
import { cgroupDirectory, type CgroupRoot, type CgroupRoots } from '../proc/cgroup-mounts.js'
import type { CgroupMembership } from '../proc/cgroup-of.js'
import { parseCount, readControl } from './files.js'

export interface JobLimits {
  readonly memoryBytes: number | undefined
  /** CPUs of the effective cpuset. */
  readonly cpus: number | undefined
}

/** Undefined where nothing limits. */
export function readJobLimits(membership: CgroupMembership, roots: CgroupRoots): JobLimits {
  const isV1 = (controller: string) => roots.v1.has(controller) && membership.v1.has(controller)
  const above = (controller: string) =>
    isV1(controller)
      ? chain(roots.v1.get(controller), membership.v1.get(controller))
      : chain(roots.v2, membership.v2)
  return {
    memoryBytes: tightest(
      above('memory'),
      isV1('memory') ? ['memory.limit_in_bytes'] : ['memory.max', 'memory.high'],
    ),
    cpus: nearestCpus(
      above('cpuset'),
      isV1('cpuset') ? ['cpuset.effective_cpus', 'cpuset.cpus'] : ['cpuset.cpus.effective'],
    ),
  }
}

/** Counts a CPU list like "0-3,8,10-11"; undefined for an empty or malformed one. */
export function countCpus(list: string): number | undefined {
  let count = 0
  for (const range of list.split(',')) {
    const [, first, last] = /^([0-9]+)(?:-([0-9]+))?$/.exec(range) ?? []
    if (first === undefined) return undefined
    count += Number(last ?? first) - Number(first) + 1
  }
  return count
}

/** The caller's directory and all above it that can be seen, innermost first. */
function chain(root: CgroupRoot | undefined, path: string | undefined): readonly string[] {
  const leaf = root === undefined || path === undefined ? undefined : cgroupDirectory(root, path)
  if (root === undefined || leaf === undefined) return []
  const directories = [leaf]
  for (let at = leaf; at.length > root.mountPoint.length;) {
    at = dirname(at)
    directories.push(at)
  }
  return directories
}

// v1 writes "no limit" as the largest multiple of the page size: 9223372036854771712.
const NO_LIMIT_BYTES = 2 ** 60

function tightest(directories: readonly string[], files: readonly string[]): number | undefined {
  const limits = directories
    .flatMap((directory) => files.map((file) => parseCount(readControl(directory, file))))
    .filter((limit): limit is number => limit !== undefined && limit < NO_LIMIT_BYTES)
  return limits.length === 0 ? undefined : Math.min(...limits)
}

function nearestCpus(directories: readonly string[], files: readonly string[]): number | undefined {
  for (const directory of directories) {
    for (const file of files) {
      const cpus = countCpus(readControl(directory, file) ?? '')
      if (cpus !== undefined) return cpus
    }
  }
  return undefined
}
