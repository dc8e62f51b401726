// Whether a source that its user may reach may also be mounted. Pure: paths and mountinfo in, a reason out.
import type { ReasonCode } from '../base/errors.js'
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

/** A real path of the site's, and where the site says so. */
export interface RuledPath {
  readonly path: string
  readonly decidedBy: string
}

/** What the site says of the sources of users' mounts; structurally policy's MountLaw. */
export interface Law {
  /** What no container may see, nor anything above or below it. */
  readonly denied: readonly RuledPath[]
  /** Only what is at or below one of these. */
  readonly allowed: readonly RuledPath[]
  /** What may be shown read-only alone. */
  readonly readOnly: readonly RuledPath[]
  /** What says where `allowed` ends. */
  readonly decidedBy: string
}

export interface World extends Law {
  readonly mounts: readonly MountEntry[]
}

export interface Objection {
  readonly code: ReasonCode
  /** The end of a sentence about the source. */
  readonly text: string
  readonly decidedBy?: string
}

/** Why this source may not be mounted; undefined: it may. */
export function objectionTo(
  source: SourceFacts,
  isReadOnly: boolean,
  world: World,
): Objection | undefined {
  const text = unfitness(source, world.mounts)
  if (text !== undefined) return { code: 'HW_MOUNT_REFUSED', text }
  const shows = ({ path }: RuledPath) => reveals(source.path, path, world.mounts)
  const denied = world.denied.find(shows)
  if (denied !== undefined)
    return {
      code: 'HW_MOUNT_REFUSED',
      text: `would show ${denied.path}`,
      decidedBy: denied.decidedBy,
    }
  if (!world.allowed.some(({ path }) => isBelow(source.path, path)))
    return {
      code: 'HW_MOUNT_REFUSED',
      text: 'is outside of what this site lets users mount (mounts.allow)',
      decidedBy: world.decidedBy,
    }
  const readOnly = isReadOnly ? undefined : world.readOnly.find(shows)
  if (readOnly === undefined) return undefined
  return {
    code: 'HW_MOUNT_READ_ONLY',
    text: 'may be mounted read-only alone on this site: add ":ro"',
    decidedBy: readOnly.decidedBy,
  }
}

/** What no site's list has to name. */
function unfitness(source: SourceFacts, mounts: readonly MountEntry[]): string | undefined {
  const mount = mounts.find(({ id }) => id === source.mountId)
  if (mount === undefined || !isBelow(source.path, mount.mountPoint)) {
    return 'is not in the file system of this node' // pipes, sockets, memfd, other mount namespaces
  }
  if (source.path.endsWith(' (deleted)')) return 'has been deleted'
  if (source.kind === 'other') return 'is neither a directory nor a regular file'
  if (KERNELS_OWN.has(mount.fsType)) return `is on ${mount.fsType}`
  const server = fuseServer(mount)
  if (server !== undefined)
    return `is served by a program of uid ${server}, which could hold up the engine`
  return undefined
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
export function fuseServer({ fsType, options }: MountEntry): string | undefined {
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
