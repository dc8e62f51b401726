// Who is on the other end: asked of the kernel once a connection, before a byte of it is parsed.
// Also what one user may have of the daemon, so that he cannot keep the others out: so many connections, and of requests so
// many a second. A connection of a user whose bucket is empty is held: not read, not parsed, its caller pinned.
import type { ServerResponse } from 'node:http'
import type { Server, Socket } from 'node:net'
import type { Clock } from '../base/clock.js'
import { asHepwrapError, HepwrapError } from '../base/errors.js'
import type { Logger } from '../base/log.js'
import { onceInAWhile } from '../base/once-in-a-while.js'
import { connectedAs, identifyCaller, releaseCaller, type Caller } from '../identity/caller.js'
import { fdOf } from '../run/gate.js'
import { MAX_REQUEST_BYTES } from '../wire/frames.js'
import { refuseSocket } from './error-reply.js'
import { createTokenBuckets, type TokenBuckets } from './token-bucket.js'
import { createTurns } from './turns.js'
import { createUnreadLimit, type UnreadShare } from './unread.js'

/** Of a request the daemon reads 4 MiB; that many connections may be in the middle of the largest at a time. */
const MAX_UNREAD_BYTES = 8 * MAX_REQUEST_BYTES
const WARN_EVERY_MS = 60_000

export interface Callers {
  /** The connection's caller; throws what identification threw. */
  of(socket: Socket): Caller
  /** Resolves when this request may be served. `reply`: none of an upgrade. */
  turn(socket: Socket, reply?: ServerResponse): Promise<void>
  /** What a new connection of this user may keep of a request that is not complete. */
  unreadOf(caller: Caller): UnreadShare
  /** How many connections are held. */
  held(): number
  /** Ends every connection that is held: nobody else knows of them. */
  dropHeld(): void
}

export interface CallerOptions {
  readonly connectionsPerUser: number
  readonly requestsPerSecond: number
  readonly requestsBurst: number
  readonly clock: Clock
  readonly log: Logger
}

/** Takes the place of the server's own listener, which is called for a connection once it may be served. */
export function watchCallers(server: Server, options: CallerOptions): Callers {
  const known = new WeakMap<Socket, Caller>()
  const unreadOf = createUnreadLimit(MAX_UNREAD_BYTES)
  const turns = createTurns(slowing(options))
  const identify = createDoor(options)
  const serve = takeListener(server)

  server.on('connection', (socket: Socket) => {
    const caller = identify(socket)
    if (caller === undefined) return
    known.set(socket, caller)
    turns.first(socket, caller.uid, () => {
      serve(socket)
      socket.resume()
    })
  })

  const of = (socket: Socket): Caller => {
    const caller = known.get(socket)
    if (caller === undefined) throw new HepwrapError('HW_CALLER_UNKNOWN', 'the connection is gone')
    return caller
  }
  return {
    of,
    turn: async (socket, reply) => turns.next(socket, of(socket).uid, reply),
    unreadOf: ({ uid }) => unreadOf(uid),
    held: () => turns.held(),
    dropHeld: () => turns.dropHeld(),
  }
}

/** The one listener that an HTTP server has for its connections: it may be called later, as long as nothing has been read. */
function takeListener(server: Server): (socket: Socket) => void {
  const [listener, another] = server.listeners('connection') as ((socket: Socket) => void)[]
  if (listener === undefined || another !== undefined)
    throw new HepwrapError('HW_INTERNAL', 'the HTTP server is not as we know it')
  server.off('connection', listener)
  // What net.createServer takes for an option, http.createServer does not pass on (Node 20 to 24): a socket that is not
  // read, so that what a held client sends stays in the kernel, and he is the one who waits.
  Object.assign(server, { pauseOnConnect: true })
  return (socket) => listener.call(server, socket)
}

/** Lets in whom the kernel knows, up to the ceiling of his user; answers everybody else, and closes. */
function createDoor({ connectionsPerUser, clock, log }: CallerOptions) {
  const connections = new Map<number, number>()
  const mayWarn = onceInAWhile(clock, WARN_EVERY_MS)

  const letIn = (socket: Socket): Caller => {
    const fd = fdOf(socket)
    const uid = connectedAs(fd) // the cheapest question first: most of a flood ends here
    socket.once('close', () => count(connections, uid, -1))
    if (count(connections, uid, 1) > connectionsPerUser && uid !== 0)
      throw new HepwrapError(
        'HW_TOO_MANY_RUNS',
        `uid ${uid} has ${connectionsPerUser} connections already`,
      )
    // All of it now, however long the connection is held: by then the process could be another one (docs/decisions/0001).
    const caller = identifyCaller(fd)
    socket.once('close', () => releaseCaller(caller))
    return caller
  }
  return (socket: Socket): Caller | undefined => {
    try {
      return letIn(socket)
    } catch (thrown) {
      const error = asHepwrapError(thrown)
      if (mayWarn(error.message))
        log.warn({ code: error.code }, `connection refused: ${error.message}`)
      refuseSocket(socket, error)
      return undefined
    }
  }
}

function slowing({ requestsPerSecond, requestsBurst, clock, log }: CallerOptions): TokenBuckets {
  const mayWarn = onceInAWhile(clock, WARN_EVERY_MS)
  const buckets = createTokenBuckets({
    perSecond: requestsPerSecond,
    burst: requestsBurst,
    clock,
    onSlowed: (uid) => {
      if (mayWarn(String(uid)))
        log.warn({ uid, requestsPerSecond }, 'a user asks too much and is being slowed')
    },
  })
  return {
    enter: (uid, begin) => {
      if (uid !== 0) return buckets.enter(uid, begin)
      begin() // prolog and epilog wait for no token
      return () => undefined
    },
  }
}

function count(connections: Map<number, number>, uid: number, change: 1 | -1): number {
  const now = (connections.get(uid) ?? 0) + change
  if (now === 0) connections.delete(uid)
  else connections.set(uid, now)
  return now
}
