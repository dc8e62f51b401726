// What a descriptor or path is, from what the kernel knows already: statx(2) without asking a file server. A user's own
// FUSE server, or a dead NFS server, would otherwise hold the daemon for as long as it likes.
import { lastError, libc } from './libc.js'

const AT_FDCWD = -100
const AT_SYMLINK_NOFOLLOW = 0x100
const AT_NO_AUTOMOUNT = 0x800
const AT_EMPTY_PATH = 0x1000
const AT_STATX_DONT_SYNC = 0x4000
const STATX_TYPE = 0x1
const STATX_INO = 0x100
const STATX_BYTES = 256

const statx = libc.func(
  'int statx(int directory, const char *path, int flags, uint32_t mask, _Out_ uint8_t *result)',
)

export type FileKind = 'directory' | 'file' | 'other'

export interface FileIdentity {
  readonly kind: FileKind
  /** "major:minor" as stat(2) has it; btrfs gives another in mountinfo. */
  readonly device: string
  readonly inode: bigint
}

/** Of an open descriptor, O_PATH ones too. Throws a KernelError. */
export const statDescriptor = (fd: number): FileIdentity =>
  call(fd, '', AT_EMPTY_PATH, `descriptor ${fd}`)

/** Of a path; a symbolic link is not followed, an automount point not triggered. */
export const statPath = (path: string): FileIdentity =>
  call(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, JSON.stringify(path))

function call(directory: number, path: string, flags: number, subject: string): FileIdentity {
  const result = Buffer.alloc(STATX_BYTES)
  const allFlags = flags | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT
  if (Number(statx(directory, path, allFlags, STATX_TYPE | STATX_INO, result)) !== 0) {
    throw lastError('statx', subject)
  }
  // struct statx: stx_mode at 28, stx_ino at 32, stx_dev_major at 136, stx_dev_minor at 140
  return {
    kind: KINDS[result.readUInt16LE(28) & 0o170000] ?? 'other',
    device: `${result.readUInt32LE(136)}:${result.readUInt32LE(140)}`,
    inode: result.readBigUInt64LE(32),
  }
}

const KINDS: Readonly<Record<number, FileKind>> = { 0o040000: 'directory', 0o100000: 'file' }
