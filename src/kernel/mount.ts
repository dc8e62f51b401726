// mount(2) and umount2(2), as far as staging needs them. Paths are used as given: the caller has judged them.
import { hasCode } from '../base/has-code.js'
import { lastError, libc } from './libc.js'
import { AT_RECURSIVE, MOUNT_ATTR_RDONLY, mountSetattr } from './mount-setattr.js'

// sys/mount.h
const MS_RDONLY = 1
const MS_REMOUNT = 32
const MS_BIND = 0x1000
const MS_MOVE = 0x2000
const MS_REC = 0x4000
const MS_PRIVATE = 0x40000
const MS_SLAVE = 0x80000
const MS_SHARED = 0x100000
const TMPFS_FLAGS = 2 | 4 | 8 // nosuid, nodev, noexec: docker's for a tmpfs
/** Flags of a mount that a remount keeps only if it names them, by their words in mountinfo. */
const KEPT: Readonly<Record<string, number>> = {
  nosuid: 2,
  nodev: 4,
  noexec: 8,
  noatime: 1024,
  nodiratime: 2048,
  relatime: 0x200000,
}
const MNT_DETACH = 2
const UMOUNT_NOFOLLOW = 8

const mount = libc.func(
  'int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *options)',
)
const umount2 = libc.func('int umount2(const char *target, int flags)')

interface Depth {
  /** Submounts too. */
  readonly recursive: boolean
}

/** mount --bind (--rbind). The clone joins the source's peer group: see makeSlave. */
export function bindMount(source: string, target: string, { recursive }: Depth): void {
  call('mount', source, target, MS_BIND | (recursive ? MS_REC : 0))
}

/** Mounts and unmounts below `target` no longer reach its peers; theirs still reach it (mount_namespaces(7)). */
export function makeSlave(target: string, { recursive }: Depth): void {
  call('make-slave', null, target, MS_SLAVE | (recursive ? MS_REC : 0))
}

/** No mount or unmount passes in either direction any more. */
export function makePrivate(target: string, { recursive }: Depth = { recursive: false }): void {
  call('make-private', null, target, MS_PRIVATE | (recursive ? MS_REC : 0))
}

/** What is mounted at `target` from now on is mounted in every copy and slave of it, too. */
export function makeShared(target: string): void {
  call('make-shared', null, target, MS_SHARED)
}

/**
 * This mount and all below it, and no other flag of theirs. A kernel without mount_setattr(2) makes the first one alone
 * read-only; `optionsOf` are its own until now, as mountinfo has them.
 */
export function makeReadOnly(target: string, optionsOf: () => readonly string[]): void {
  if (mountSetattr(target, AT_RECURSIVE, MOUNT_ATTR_RDONLY)) return
  const error = lastError('mount_setattr', JSON.stringify(target))
  if (!hasCode(error, 'ENOSYS')) throw error
  const kept = optionsOf().reduce((flags, option) => flags | (KEPT[option] ?? 0), 0)
  call('remount', null, target, MS_REMOUNT | MS_BIND | MS_RDONLY | kept)
}

/** mount --move, with all that is mounted below. */
export function moveMount(source: string, target: string): void {
  call('move', source, target, MS_MOVE)
}

export function mountTmpfs(target: string, options: string): void {
  if (Number(mount('tmpfs', target, 'tmpfs', TMPFS_FLAGS, options)) === 0) return
  throw lastError('mount', JSON.stringify(target))
}

/** umount -l, never through a symbolic link; false: not a mount point. Peers lose their submounts too: slave first. */
export function unmountDetached(target: string): boolean {
  if (Number(umount2(target, MNT_DETACH | UMOUNT_NOFOLLOW)) === 0) return true
  const error = lastError('umount', JSON.stringify(target))
  if (hasCode(error, 'EINVAL', 'ENOENT')) return false
  throw error
}

function call(verb: string, source: string | null, target: string, flags: number): void {
  if (source?.includes('\0') === true || target.includes('\0')) throw new Error('NUL in a path')
  if (Number(mount(source, target, null, flags, null)) === 0) return
  throw lastError(verb, JSON.stringify(target))
}
