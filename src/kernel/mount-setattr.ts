// mount_setattr(2), Linux 5.12: flags of mounts, set or cleared alone, without a word about the others.
import { libc } from './libc.js'

export const MOUNT_ATTR_RDONLY = 1n
export const MOUNT_ATTR_NODEV = 4n
/** The mount and all below it. */
export const AT_RECURSIVE = 0x8000

const AT_FDCWD = -100
const MOUNT_SETATTR = 442 // the same number on every architecture

const syscall = libc.func(
  'long syscall(long number, long a, const char *b, long c, const void *d, long e)',
)

/** `flags` are AT_ ones. False: it failed, and errno says why; ENOSYS where the kernel is older. */
export function mountSetattr(path: string, flags: number, set: bigint, clear = 0n): boolean {
  const attributes = Buffer.alloc(32) // struct mount_attr: attr_set, attr_clr, propagation, userns_fd
  attributes.writeBigUInt64LE(set)
  attributes.writeBigUInt64LE(clear, 8)
  return Number(syscall(MOUNT_SETATTR, AT_FDCWD, path, flags, attributes, attributes.length)) === 0
}
