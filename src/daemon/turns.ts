// Whose turn it is: every request takes a token of its user's, the first of a connection before the connection is read at all.
// INVARIANTS: what waits here is a whole connection or its one request, so that the ceiling of connections bounds it; who
// closes his end while he waits is let go, and takes no token.
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { HepwrapError } from '../base/errors.js'
import { hungUp } from '../kernel/hang-up.js'
import { fdOf } from '../run/gate.js'
import type { TokenBuckets } from './token-bucket.js'

/** Nobody tells of a hang-up on a socket that is not read. */
const HELD_CHECK_MS = 500

export interface Turns {
  /** Calls `serve` when the connection may be read. */
  first(socket: Socket, uid: number, serve: () => void): void
  /** Resolves when the connection's next request may be served: at once for its first. `reply`: none of an upgrade. */
  next(socket: Socket, uid: number, reply: ServerResponse | undefined): Promise<void>
  dropHeld(): void
  /** How many connections wait. */
  held(): number
}

export function createTurns(buckets: TokenBuckets): Turns {
  const held = new Set<Socket>()
  /** Connections whose token is not yet spent on a request. */
  const paid = new WeakSet<Socket>()
  const busy = new WeakSet<Socket>()
  let watch: NodeJS.Timeout | undefined

  const releaseGone = () => {
    const open = [...held].filter((socket) => !socket.destroyed)
    const byFd = new Map(open.map((socket) => [fdOf(socket), socket]))
    for (const fd of hungUp([...byFd.keys()])) byFd.get(fd)?.destroy()
  }
  const leave = (socket: Socket) => {
    held.delete(socket)
    if (held.size > 0) return
    clearInterval(watch)
    watch = undefined
  }
  const wait = (socket: Socket, uid: number, begin: () => void, onGone: () => void) => {
    const gone = () => {
      callOff()
      leave(socket)
      onGone()
    }
    held.add(socket)
    socket.once('close', gone)
    const callOff = buckets.enter(uid, () => {
      socket.off('close', gone)
      leave(socket)
      begin()
    })
    if (held.has(socket)) watch ??= setInterval(releaseGone, HELD_CHECK_MS).unref()
  }

  const waitForToken = (socket: Socket, uid: number) =>
    new Promise<void>((resolve, reject) => {
      wait(socket, uid, resolve, () => {
        reject(new HepwrapError('HW_CLIENT_GONE', 'the client is gone'))
      })
    })

  return {
    first: (socket, uid, serve) => {
      paid.add(socket)
      socket.on('error', () => undefined) // 'close' follows
      wait(socket, uid, serve, () => undefined)
    },
    next: async (socket, uid, reply) => {
      if (busy.has(socket)) {
        // Pipelined requests would be one token's, and thousands of them fit into one read. No client of ours sends them.
        socket.destroy()
        throw new HepwrapError('HW_REQUEST_INVALID', 'one request at a time')
      }
      busy.add(socket)
      reply?.once('close', () => busy.delete(socket))
      if (!paid.delete(socket)) await waitForToken(socket, uid)
    },
    held: () => held.size,
    dropHeld: () => {
      for (const socket of held) socket.destroy()
    },
  }
}
