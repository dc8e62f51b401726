// Where the cgroup hierarchies are mounted, and the directory of a cgroup path in them.
import { readMounts, type MountEntry } from './mount-info.js'

export interface CgroupRoot {
  /** like "/sys/fs/cgroup/memory" */
  readonly mountPoint: string
  /** The cgroup that is mounted there; "/" unless the mount shows a part of the hierarchy. */
  readonly root: string
}

export interface CgroupRoots {
  /** Controller (or "name=systemd") to its hierarchy; co-mounted controllers share one. */
  readonly v1: ReadonlyMap<string, CgroupRoot>
  readonly v2: CgroupRoot | undefined
}

/** The hierarchies that this process can see. Of several mounts of one, the one that shows most of it. */
export function cgroupMounts(mounts: readonly MountEntry[] = readMounts()): CgroupRoots {
  const v1 = new Map<string, CgroupRoot>()
  let v2: CgroupRoot | undefined
  for (const { fsType, mountPoint, root, options } of mounts) {
    const found = { mountPoint, root }
    if (fsType === 'cgroup2') v2 = wider(v2, found)
    if (fsType !== 'cgroup') continue
    for (const option of options) {
      if (isHierarchy(option)) v1.set(option, wider(v1.get(option), found))
    }
  }
  return { v1, v2 }
}

/**
 * The directory of a cgroup path, like "/sys/fs/cgroup/memory/slurm/uid_0"; undefined: the path lies outside of what
 * is mounted or of our cgroup namespace ("/../x", cgroup_namespaces(7)).
 */
export function cgroupDirectory(
  { mountPoint, root }: CgroupRoot,
  path: string,
): string | undefined {
  const components = path.split('/')
  if (components[0] !== '' || components.includes('..') || components.includes('.'))
    return undefined
  const below = root === '/' ? path : withoutPrefix(path, root)
  if (below === undefined) return undefined
  return below === '/' || below === '' ? mountPoint : mountPoint + below
}

const withoutPrefix = (path: string, prefix: string): string | undefined =>
  path === prefix || path.startsWith(`${prefix}/`) ? path.slice(prefix.length) : undefined

const wider = (known: CgroupRoot | undefined, found: CgroupRoot): CgroupRoot =>
  known === undefined || found.root.length < known.root.length ? found : known

// Every v1 controller there ever was, cgroups(7); other mount options are flags.
const CONTROLLERS = new Set(
  'cpu cpuacct cpuset memory devices freezer net_cls blkio perf_event net_prio hugetlb pids rdma misc debug'.split(
    ' ',
  ),
)

const isHierarchy = (option: string): boolean =>
  option.startsWith('name=') || CONTROLLERS.has(option)
