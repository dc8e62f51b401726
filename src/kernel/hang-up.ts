// Which of many sockets nobody is at the other end of any more, without reading a byte of them. See poll(2).
import koffi from 'koffi'
import { hasCode } from '../base/has-code.js'
import { lastError, libc } from './libc.js'

const POLLERR = 8
const POLLHUP = 16 // closed by the peer; a peer that has only ended its own half still waits for an answer
const POLLNVAL = 32

const PollFd = koffi.struct({ fd: 'int', events: 'short', revents: 'short' })
const poll = libc.func('poll', 'int', [koffi.inout(koffi.pointer(PollFd)), 'ulong', 'int'])

/** Those of `fds` whose peer has closed. Never waits. */
export function hungUp(fds: readonly number[]): readonly number[] {
  const polled = fds.map((fd) => ({ fd, events: 0, revents: 0 }))
  if (Number(poll(polled, polled.length, 0)) < 0) {
    const error = lastError('poll', `${fds.length} descriptors`)
    if (hasCode(error, 'EINTR')) return [] // the next look tells
    throw error
  }
  return polled
    .filter(({ revents }) => (revents & (POLLHUP | POLLERR | POLLNVAL)) !== 0)
    .map(({ fd }) => fd)
}
