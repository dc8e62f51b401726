// flock(2): the lock that slurmstepd holds on a hierarchy's root while it makes or removes a job's directories (cgroup v1).
import { closeSync, constants, openSync } from 'node:fs'
import { hasCode } from '../base/has-code.js'
import { lastError, libc } from './libc.js'

const LOCK_EX = 2
const LOCK_NB = 4

const flock = libc.func('int flock(int fd, int operation)')

/** Runs `work` under an exclusive lock on a directory; undefined, without running it, while another holds the lock. */
export function withDirectoryLock<T>(directory: string, work: () => T): T | undefined {
  const fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
  try {
    return lock(fd) ? work() : undefined
  } finally {
    closeSync(fd) // the last descriptor of it: unlocks
  }
}

function lock(fd: number): boolean {
  if (Number(flock(fd, LOCK_EX | LOCK_NB)) === 0) return true
  const error = lastError('flock', `descriptor ${fd}`)
  if (hasCode(error, 'EWOULDBLOCK', 'EAGAIN')) return false
  throw error
}
