// pidfds: a process held by descriptor, so that its number can be used again without deceiving us. See pidfd_open(2).
import koffi from 'koffi'
import { closeSync } from 'node:fs'
import { hasCode } from '../base/has-code.js'
import { lastError, libc } from './libc.js'
import { socketOption } from './peercred.js'

const SO_PEERPIDFD = 77 // Linux 6.5
const PIDFD_SEND_SIGNAL = 424 // Linux 5.1; the same number on every architecture
const PIDFD_OPEN = 434 // Linux 5.3
const POLLIN = 1

const PollFd = koffi.struct({ fd: 'int', events: 'short', revents: 'short' })
const poll = libc.func('poll', 'int', [koffi.inout(koffi.pointer(PollFd)), 'ulong', 'int'])
// glibc has wrappers only since 2.36. Four longs: the ABI passes them like variadic ones.
const syscall = libc.func('long syscall(long number, long a, long b, long c, long d)')

/**
 * The socket's peer as a pidfd that the caller closes; undefined where the kernel has no SO_PEERPIDFD.
 * A peer that has been reaped is an error (ESRCH, EINVAL), never undefined.
 */
export function peerPidfd(fd: number): number | undefined {
  try {
    return socketOption(fd, SO_PEERPIDFD, 4).readInt32LE(0)
  } catch (error) {
    if (hasCode(error, 'ENOPROTOOPT')) return undefined
    throw error
  }
}

/** A pidfd of the process that has this number now. Throws a KernelError: ESRCH (gone), ENOSYS (Linux < 5.3). */
export function openPidfd(pid: number): number {
  const fd = Number(syscall(PIDFD_OPEN, pid, 0, 0, 0))
  if (fd < 0) throw lastError('pidfd_open', String(pid))
  return fd
}

/** Sends a signal by number; false: the process is gone. */
export function sendSignal(pidfd: number, signalNumber: number): boolean {
  if (Number(syscall(PIDFD_SEND_SIGNAL, pidfd, signalNumber, 0, 0)) === 0) return true
  const error = lastError('pidfd_send_signal', `signal ${signalNumber}`)
  if (error.code === 'ESRCH') return false
  throw error
}

/** Reports whether the process still runs; a zombie does not. */
export function isAlive(pidfd: number): boolean {
  for (;;) {
    const ready = Number(poll([{ fd: pidfd, events: POLLIN, revents: 0 }], 1, 0))
    if (ready >= 0) return ready === 0
    const error = lastError('poll', `pidfd ${pidfd}`)
    if (error.code !== 'EINTR') throw error // also of a signal that comes while nothing is waited for
  }
}

export function closeFd(fd: number): void {
  closeSync(fd)
}
