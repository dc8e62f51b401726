// A mount's source as a descriptor of the daemon's own: what is judged is then what is mounted, whatever names do meanwhile.
import { closeSync, constants, open, readFileSync, readlinkSync } from 'node:fs'
import { HepwrapError, quote } from '../base/errors.js'
import { isCallerAlive, type Caller } from '../identity/caller.js'
import { hasCode } from '../base/has-code.js'
import { statDescriptor, type FileKind } from '../kernel/stat.js'
import { readFdOwner, readProcess } from '../proc/process.js'
import type { SourceFacts } from './judge.js'

const O_PATH = 0o10000000 // asm-generic/fcntl.h; Node has no name for it
const OPEN_PATIENCE_MS = 10_000

/**
 * The caller's descriptor `fd`, opened anew through /proc/PID/fd: the kernel let him open it, as himself. A descriptor
 * counts only while his process is plainly his: after the exec of a setuid program it could be one of root's.
 */
export async function openCallersDescriptor(
  caller: Caller,
  fd: number,
  source: string,
): Promise<number> {
  requireHimself(caller)
  const own = await openPath(`/proc/${caller.pid}/fd/${fd}`, 0, source)
  try {
    requireHimself(caller)
    return own
  } catch (error) {
    closeSync(own)
    throw error
  }
}

/** A path of the site's configuration; undefined: absent. O_DIRECTORY first, for that triggers an automount. */
export async function openSitesPath(path: string): Promise<number | undefined> {
  for (const flag of [constants.O_DIRECTORY, 0]) {
    try {
      return await openPath(path, flag, path)
    } catch (error) {
      const cause = error instanceof Error ? error.cause : undefined
      if (hasCode(cause, 'ENOENT')) return undefined
      if (flag === 0 || !hasCode(cause, 'ENOTDIR')) throw error
    }
  }
  return undefined
}

/** The facts of an open source; none of these calls reaches a file server. */
export function readSource(fd: number): SourceFacts {
  const mountId = /^mnt_id:\s*([0-9]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1]
  const path = readlinkSync(`/proc/self/fd/${fd}`)
  return { path, kind: kindOf(fd, path), mountId: Number(mountId) }
}

/** A FUSE file system of a user's keeps even root from looking (fuse(4), allow_other). */
function kindOf(fd: number, path: string): FileKind {
  try {
    return statDescriptor(fd).kind
  } catch (error) {
    if (!hasCode(error, 'EACCES')) throw error
    const why = 'is on a file system that keeps root from looking at it, as a FUSE of a user does'
    throw new HepwrapError('HW_MOUNT_REFUSED', `${quote(path)} ${why}`, { cause: error })
  }
}

function requireHimself(caller: Caller): void {
  const now = readProcess(caller.pid)
  if (
    !isCallerAlive(caller) ||
    now?.startTimeTicks !== caller.startTimeTicks ||
    now.uid !== caller.uid ||
    now.gid !== caller.gid ||
    readFdOwner(caller.pid) !== caller.uid
  ) {
    throw new HepwrapError(
      'HW_CALLER_UNKNOWN',
      `process ${caller.pid} is gone or has become another`,
    )
  }
}

/** On a worker thread and for a bounded time: a dead file server may hold it. */
function openPath(path: string, flags: number, source: string): Promise<number> {
  return new Promise((resolve, reject) => {
    let late = false
    const timer = setTimeout(() => {
      late = true
      reject(
        new HepwrapError('HW_MOUNT_FAILED', `the file system of ${quote(source)} does not answer`),
      )
    }, OPEN_PATIENCE_MS)
    open(path, O_PATH | flags, (error, fd) => {
      clearTimeout(timer)
      if (late && error === null) closeSync(fd)
      else if (error === null) resolve(fd)
      else reject(unreachable(source, error))
    })
  })
}

const unreachable = (source: string, cause: Error): HepwrapError =>
  new HepwrapError('HW_MOUNT_SOURCE', `${quote(source)} cannot be opened`, { cause })
