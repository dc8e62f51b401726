// A client's frames, each to its place. Nothing is kept but one request and a little early stdin: a client that sends
// faster than its container reads waits.
import type { Duplex } from 'node:stream'
import type { Socket } from 'node:net'
import { asHepwrapError, HepwrapError } from '../base/errors.js'
import { createFrameReader, FRAME, MAX_FRAME_BYTES, MAX_REQUEST_BYTES } from '../wire/frames.js'
import type { RunRequest } from '../wire/run-api.js'
import { parseRequest, parseResize, parseSignal } from './request-schema.js'
import type { UnreadShare } from './unread.js'

const MAX_SMALL_FRAME_BYTES = 1024

export interface Inbox {
  readonly feed: (chunk: Buffer) => void
  /** Resolves with the first frame; rejects where it is malformed, too large or too late. */
  readonly request: Promise<RunRequest>
  /** From now on everything is read and dropped. */
  ignore(): void
  stdinTo(engine: Duplex): void
  onSignal: (signal: number) => void
  onResize: (rows: number, columns: number) => void
}

export function createInbox(socket: Socket, timeoutMs: number, unread: UnreadShare): Inbox {
  const { request, settle } = createPending()
  const timer = setTimeout(() => fail(lateBy(timeoutMs)), timeoutMs)
  let isIgnoring = false
  let accepted: RunRequest | undefined
  const stdin = createStdin(socket)

  const fail = (error: HepwrapError) => {
    isIgnoring = true
    clearTimeout(timer)
    pieces.drop()
    settle(error)
    if (accepted !== undefined) socket.destroy() // in the middle of a run: a broken client ends its run
  }
  socket.once('close', () => {
    if (accepted === undefined) fail(new HepwrapError('HW_CLIENT_GONE', 'the client is gone'))
  })

  const accept = (payload: Buffer) => {
    accepted = parseRequest(payload)
    clearTimeout(timer)
    settle(accepted)
  }
  const control = (type: number, payload: Buffer) => {
    if (accepted === undefined) accept(payload)
    else if (type === FRAME.signal) inbox.onSignal(parseSignal(payload))
    else {
      const { rows, columns } = parseResize(payload)
      inbox.onResize(rows, columns)
    }
  }
  const pieces = createAssembly(control, unread)
  const read = createFrameReader({
    onHeader: (type, length) => {
      checkHeader(type, length, accepted !== undefined)
      if (type === FRAME.stdin && length === 0) stdin.end()
    },
    onPiece: (type, piece, isLast) => {
      if (type !== FRAME.stdin) pieces.add(type, piece, isLast)
      else if (accepted?.interactive === true) stdin.write(piece)
    },
  })
  const inbox: Inbox = {
    request,
    feed: (chunk) => {
      if (isIgnoring) return
      try {
        read(chunk)
      } catch (thrown) {
        fail(asHepwrapError(thrown))
      }
    },
    ignore: () => void (isIgnoring = true),
    stdinTo: (engine) => stdin.connect(engine),
    onSignal: () => undefined,
    onResize: () => undefined,
  }
  return inbox
}

function createPending() {
  let settle: (result: RunRequest | HepwrapError) => void = () => undefined
  const request = new Promise<RunRequest>((resolve, reject) => {
    settle = (result) => (result instanceof HepwrapError ? reject(result) : resolve(result))
  })
  request.catch(() => undefined) // awaited by serveRun, a turn later
  return { request, settle }
}

const lateBy = (timeoutMs: number) =>
  new HepwrapError('HW_REQUEST_TIMEOUT', `no complete request within ${timeoutMs / 1000} s`)

/** Refuses a frame by its header, before its payload is read. */
function checkHeader(type: number, length: number, hasRequest: boolean): void {
  if (!hasRequest) {
    if (type !== FRAME.request)
      throw new HepwrapError(
        'HW_REQUEST_INVALID',
        `the first frame has type ${type}, not ${FRAME.request}`,
      )
    if (length > MAX_REQUEST_BYTES)
      throw new HepwrapError(
        'HW_REQUEST_TOO_LARGE',
        `the request has ${length} bytes; at most ${MAX_REQUEST_BYTES} are read (arguments, environment and mounts together)`,
      )
    return
  }
  const isKnown = type === FRAME.stdin || type === FRAME.signal || type === FRAME.resize
  const limit = type === FRAME.stdin ? MAX_FRAME_BYTES : MAX_SMALL_FRAME_BYTES
  if (!isKnown || length > limit)
    throw new HepwrapError(
      'HW_REQUEST_INVALID',
      `a client may not send a frame of type ${type} with ${length} bytes`,
    )
}

/** Stdin goes on piece by piece; the other frames are put together first, within what their user may keep here. */
function createAssembly(control: (type: number, payload: Buffer) => void, unread: UnreadShare) {
  let pieces: Buffer[] = []
  const drop = () => {
    pieces = []
    unread.giveBack()
  }
  return {
    add: (type: number, piece: Buffer, isLast: boolean): void => {
      if (!unread.take(piece.length))
        throw new HepwrapError('HW_TOO_MANY_RUNS', 'too many of your requests are not complete')
      pieces.push(piece)
      if (!isLast) return
      const payload = Buffer.concat(pieces)
      drop()
      control(type, payload)
    },
    drop,
  }
}

/** The container's stdin, which may come later than the first bytes for it. */
function createStdin(socket: Socket) {
  const early: Buffer[] = []
  let isEnded = false
  let engine: Duplex | undefined

  const pass = (piece: Buffer) => {
    if (engine === undefined) {
      early.push(piece)
      socket.pause()
    } else if (!engine.destroyed && !engine.write(piece)) socket.pause()
  }
  return {
    write: (piece: Buffer) => {
      if (piece.length > 0 && !isEnded) pass(piece)
    },
    end: () => {
      isEnded = true
      engine?.end()
    },
    connect: (stream: Duplex) => {
      engine = stream
      stream.on('drain', () => socket.resume())
      stream.once('close', () => socket.resume())
      for (const piece of early.splice(0)) pass(piece)
      if (isEnded) stream.end()
      if (!stream.writableNeedDrain) socket.resume()
    },
  }
}
