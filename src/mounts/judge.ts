// Whether a source that its user may reach may also be mounted. Pure: paths and mountinfo in, a reason out.
import type { FileKind } from '../kernel/stat.js'
import type { MountEntry } from '../proc/mount-info.js'

/** What the kernel says of an open source. */
export interface SourceFacts {
  /** readlink of /proc/self/fd/N: the real path, or "pipe:[7]", "/memfd:x (deleted)" and the like. */
  readonly path: string
  readonly kind: FileKind
  /** The mount it was opened through; it counts only if it is one of ours. */
  readonly mountId: number
}

export interface World {
  readonly mounts: readonly MountEntry[]
  /** Real paths that no container may see, nor anything above or below them. */
  readonly denied: readonly string[]
}

/** Why this source may not be mounted, as the end of a sentence about it; undefined: it may. */
export function objectionTo(source: SourceFacts, world: World): string | undefined {
  const mount = world.mounts.find(({ id }) => id === source.mountId)
  if (mount === undefined || !isBelow(source.path, mount.mountPoint)) {
    return 'is not in the file system of this node' // pipes, sockets, memfd, other mount namespaces
  }
  if (source.path.endsWith(' (deleted)')) return 'has been deleted'
  if (source.kind === 'other') return 'is neither a directory nor a regular file'
  if (KERNELS_OWN.has(mount.fsType)) return `is on ${mount.fsType}`
  const server = fuseServer(mount)
  if (server !== undefined)
    return `is served by a program of uid ${server}, which could hold up the engine`
  const path = world.denied.find((denied) => reveals(source.path, denied, world.mounts))
  return path === undefined ? undefined : `would show ${path}`
}

/** Reports whether `path` is `ancestor` or lies below it. Both are absolute, without "." and "..". */
export const isBelow = (path: string, ancestor: string): boolean =>
  path === ancestor || path.startsWith(ancestor === '/' ? '/' : `${ancestor}/`)

// File systems that are views of the kernel, not storage; devices are reached by them as well.
const KERNELS_OWN = new Set(
  (
    'proc sysfs cgroup cgroup2 devpts devtmpfs debugfs tracefs securityfs configfs bpf pstore efivarfs selinuxfs ' +
    'smackfs mqueue fusectl binfmt_misc binder nsfs rpc_pipefs nfsd resctrl'
  ).split(' '),
)

/** The uid that mounted a FUSE file system by fusermount; undefined: root did, or it is none. */
function fuseServer({ fsType, options }: MountEntry): string | undefined {
  if (!/^fuse(blk)?(\.|$)/.test(fsType)) return undefined
  const uid = options.find((option) => option.startsWith('user_id='))?.slice('user_id='.length)
  return uid === '0' ? undefined : (uid ?? 'unknown')
}

/** By name, and by place in the file systems: the same directory may be mounted under several names. */
function reveals(path: string, denied: string, mounts: readonly MountEntry[]): boolean {
  if (isBelow(path, denied) || isBelow(denied, path)) return true
  const hidden = placeOf(denied, mounts)
  const shown = [
    placeOf(path, mounts),
    ...mounts.filter(({ mountPoint }) => isBelow(mountPoint, path)),
  ]
  return shown.some(
    (place) =>
      place !== undefined &&
      hidden !== undefined &&
      place.device === hidden.device &&
      (isBelow(place.root, hidden.root) || isBelow(hidden.root, place.root)),
  )
}

/** The file system and the directory in it that a path names. */
function placeOf(
  path: string,
  mounts: readonly MountEntry[],
): Pick<MountEntry, 'device' | 'root'> | undefined {
  const covering = mounts.filter(({ mountPoint }) => isBelow(path, mountPoint))
  // The innermost; of several at one place the last, which hides the others.
  const mount = covering.reduce<MountEntry | undefined>(
    (best, each) =>
      best === undefined || each.mountPoint.length >= best.mountPoint.length ? each : best,
    undefined,
  )
  if (mount === undefined) return undefined
  const below = path.slice(mount.mountPoint === '/' ? 0 : mount.mountPoint.length)
  return { device: mount.device, root: `${mount.root === '/' ? '' : mount.root}${below}` || '/' }
}
