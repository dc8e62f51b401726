// Reads a file that nobody but its owner can have written: itself and every directory above it. Its text is trusted, so its path must be.
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readFileSync,
  type Stats,
} from 'node:fs'
import { dirname, isAbsolute, normalize } from 'node:path'
import { HepwrapError, quote } from '../base/errors.js'

export interface Guard {
  /** Who alone may own the file and the directories above it. */
  readonly ownerUid: number
  /** Another who may: the program's own user, where it is not root's. */
  readonly orOwnerUid?: number
  /** Bits of the mode that the file itself must not have, beside writing by others. */
  readonly forbiddenMode?: number
  /** Directories above this one are taken on trust; "/" in the product, the test's own directory in tests. */
  readonly below: string
}

export const ROOT_ONLY: Guard = { ownerUid: 0, below: '/' }

const MAX_BYTES = 1024 * 1024
const WRITABLE_BY_OTHERS = 0o022

/** The text of the file; throws HW_CONFIG_INVALID naming what is missing or who else could write it. */
export function readGuardedFile(path: string, guard: Guard = ROOT_ONLY): string {
  if (!isAbsolute(path) || normalize(path) !== path)
    throw invalid(path, 'must be an absolute path without . or ..')
  // From the top down: once a directory belongs to the owner alone, nobody else can swap what is in it. A sticky
  // directory does not count: others may not rename what is there, but may put files there.
  for (const directory of directoriesAbove(path, guard.below))
    refuseUnsafe(directory, lstat(directory, path), guard)
  return readOpened(path, guard)
}

// Checked and read by one descriptor, so that what was checked is what is read.
function readOpened(path: string, guard: Guard): string {
  const fd = open(path)
  try {
    const stats = fstatSync(fd)
    if (!stats.isFile()) throw invalid(path, 'is not a regular file')
    if (stats.size > MAX_BYTES) throw invalid(path, `is larger than ${MAX_BYTES} bytes`)
    refuseUnsafe(path, stats, guard)
    refuseReadable(path, stats, guard)
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(fd))
  } catch (error) {
    if (error instanceof HepwrapError) throw error
    throw invalid(path, `cannot be read as UTF-8 text: ${reasonOf(error)}`, error)
  } finally {
    closeSync(fd)
  }
}

// O_NONBLOCK: a FIFO of this name must not hang the start.
function open(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    if (codeOf(error) === 'ELOOP')
      throw invalid(path, 'is a symbolic link; name the file itself', error)
    throw invalid(path, `cannot be opened: ${reasonOf(error)}`, error)
  }
}

function refuseUnsafe(path: string, stats: Stats, guard: Guard): void {
  if (stats.isSymbolicLink()) throw invalid(path, 'is a symbolic link; name the file itself')
  if (stats.uid !== guard.ownerUid && stats.uid !== guard.orOwnerUid)
    throw invalid(path, `belongs to uid ${stats.uid}, not to ${ownersOf(guard)}`)
  if ((stats.mode & WRITABLE_BY_OTHERS) !== 0)
    throw invalid(path, `can be written by others than its owner (mode ${modeOf(stats)})`)
}

function refuseReadable(path: string, stats: Stats, { forbiddenMode = 0 }: Guard): void {
  if ((stats.mode & forbiddenMode) !== 0)
    throw invalid(path, `can be read by others, and holds secrets (mode ${modeOf(stats)})`)
}

const ownersOf = ({ ownerUid, orOwnerUid = ownerUid }: Guard): string =>
  orOwnerUid === ownerUid ? `uid ${ownerUid}` : `uid ${ownerUid} or ${orOwnerUid}`

const modeOf = ({ mode }: Stats): string => (mode & 0o7777).toString(8).padStart(4, '0')

/** "/a", "/a/b" for "/a/b/c"; those below `top`, and `top` itself. */
function directoriesAbove(path: string, top: string): string[] {
  const found: string[] = []
  for (let directory = dirname(path); ; directory = dirname(directory)) {
    found.unshift(directory)
    if (directory === top || directory === '/') return found
  }
}

function lstat(directory: string, path: string): Stats {
  try {
    return lstatSync(directory)
  } catch (error) {
    throw invalid(path, `cannot be opened: ${reasonOf(error)}`, error)
  }
}

const invalid = (path: string, what: string, cause?: unknown) =>
  new HepwrapError('HW_CONFIG_INVALID', `${quote(path)} ${what}`, { cause })

const codeOf = (error: unknown): unknown =>
  error instanceof Error && 'code' in error ? error.code : undefined

const reasonOf = (error: unknown): string =>
  codeOf(error) === 'ENOENT'
    ? 'no such file'
    : error instanceof Error
      ? error.message
      : String(error)
