// Who is on the other end: asked of the kernel once a connection, before a byte of it is parsed.
// Also the ceiling of connections of one user, so that one user cannot keep the others out.
import type { Server, Socket } from 'node:net'
import { asHepwrapError, HepwrapError } from '../base/errors.js'
import type { Logger } from '../base/log.js'
import { identifyCaller, releaseCaller, type Caller } from '../identity/caller.js'
import { fdOf } from '../run/gate.js'
import { MAX_REQUEST_BYTES } from '../wire/frames.js'
import { refuseSocket } from './error-reply.js'
import { createUnreadLimit, type UnreadShare } from './unread.js'

/** Of a request the daemon reads 4 MiB; that many connections may be in the middle of the largest at a time. */
const MAX_UNREAD_BYTES = 8 * MAX_REQUEST_BYTES

export interface Callers {
  /** The connection's caller; throws what identification threw. */
  of(socket: Socket): Caller
  /** What a new connection of this user may keep of a request that is not complete. */
  unreadOf(caller: Caller): UnreadShare
}

export interface CallerOptions {
  readonly connectionsPerUser: number
  readonly log: Logger
}

export function watchCallers(server: Server, { connectionsPerUser, log }: CallerOptions): Callers {
  const known = new WeakMap<Socket, Caller | HepwrapError>()
  const connections = new Map<number, number>()
  const unreadOf = createUnreadLimit(MAX_UNREAD_BYTES)

  server.prependListener('connection', (socket: Socket) => {
    try {
      const caller = identifyCaller(fdOf(socket))
      socket.once('close', () => {
        releaseCaller(caller)
        count(connections, caller.uid, -1)
      })
      if (count(connections, caller.uid, 1) > connectionsPerUser && caller.uid !== 0)
        throw new HepwrapError(
          'HW_TOO_MANY_RUNS',
          `uid ${caller.uid} has ${connectionsPerUser} connections already`,
        )
      known.set(socket, caller)
    } catch (thrown) {
      const error = asHepwrapError(thrown)
      log.warn({ code: error.code }, `connection refused: ${error.message}`)
      known.set(socket, error)
      if (error.code === 'HW_TOO_MANY_RUNS') refuseSocket(socket, error)
    }
  })

  return {
    of: (socket) => {
      const caller = known.get(socket)
      if (caller === undefined)
        throw new HepwrapError('HW_CALLER_UNKNOWN', 'the connection is gone')
      if (caller instanceof HepwrapError) throw caller
      return caller
    },
    unreadOf: ({ uid }) => unreadOf(uid),
  }
}

function count(connections: Map<number, number>, uid: number, change: 1 | -1): number {
  const now = (connections.get(uid) ?? 0) + change
  if (now === 0) connections.delete(uid)
  else connections.set(uid, now)
  return now
}
