// The daemon's seam, real down to the socket: an HTTP server on a unix socket whose runs the test plays itself.
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type RequestListener } from 'node:http'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { createFrameReader, FRAME, frame } from '../../../../src/wire/frames.js'
import type { RunClose, RunEvent, RunRequest } from '../../../../src/wire/run-api.js'

export interface ReceivedFrame {
  readonly type: number
  readonly payload: Buffer
}

/** One run, played by the test. */
export interface PlayedRun {
  readonly socket: Socket
  readonly request: RunRequest
  /** All frames behind the request so far. */
  readonly frames: readonly ReceivedFrame[]
  stdin(): Buffer
  signals(): string[]
  send(type: number, payload: Buffer | object): boolean
  event(event: RunEvent): void
  close(close: RunClose): void
  /** Resolves when `condition` holds; looked at after each frame. */
  until(condition: () => boolean): Promise<void>
  /** Resolves when the client is gone. */
  readonly gone: Promise<void>
}

export interface FakeDaemon {
  readonly socketPath: string
  stop(): Promise<void>
}

export interface FakeRoutes {
  readonly run?: (run: PlayedRun) => void | Promise<void>
  /** Instead of 101: what to write to the raw socket. */
  readonly upgrade?: (request: IncomingMessage, socket: Socket) => void
  readonly http?: RequestListener
}

export async function startFakeDaemon(routes: FakeRoutes): Promise<FakeDaemon> {
  const directory = mkdtempSync(join(tmpdir(), 'hepwrap-fake-'))
  const socketPath = join(directory, 'hepwrapd.sock')
  const sockets = new Set<Socket>()
  const server = createServer(
    routes.http ??
      ((_, reply) => {
        reply.writeHead(404).end()
      }),
  )
  server.on('connection', (socket: Socket) => sockets.add(socket))
  server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    if (routes.upgrade) routes.upgrade(request, socket)
    else playRun(socket, head, routes.run ?? (() => undefined))
  })
  await new Promise<void>((resolve) => server.listen(socketPath, resolve))
  const stop = async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
    rmSync(directory, { recursive: true, force: true })
  }
  stops.push(stop)
  return { socketPath, stop }
}

const stops: (() => Promise<void>)[] = []
// Of those that no test has stopped, too.
afterAll(async () => {
  await Promise.all(stops.map((stop) => stop()))
})

function playRun(
  socket: Socket,
  head: Buffer,
  play: (run: PlayedRun) => void | Promise<void>,
): void {
  const frames: ReceivedFrame[] = []
  const waiting: { condition: () => boolean; resolve: () => void }[] = []
  const of = (type: number) =>
    frames.filter((candidate) => candidate.type === type).map(({ payload }) => payload)
  const begin = (request: RunRequest): PlayedRun => ({
    socket,
    request,
    frames,
    stdin: () => Buffer.concat(of(FRAME.stdin)),
    signals: () =>
      of(FRAME.signal).map(
        (payload) => (JSON.parse(payload.toString()) as { signal: string }).signal,
      ),
    send: (type, payload) => socket.write(frame(type, payload)),
    event: (event) => socket.write(frame(FRAME.event, event)),
    close: (close) => socket.end(frame(FRAME.close, close)),
    until: (condition) =>
      condition()
        ? Promise.resolve()
        : new Promise((resolve) => waiting.push({ condition, resolve })),
    gone: new Promise((resolve) => socket.once('close', () => resolve())),
  })
  let pieces: Buffer[] = []
  const read = createFrameReader({
    onPiece: (type, piece, last) => {
      pieces.push(Buffer.from(piece))
      if (!last) return
      const payload = Buffer.concat(pieces)
      pieces = []
      if (type === FRAME.request) void play(begin(JSON.parse(payload.toString()) as RunRequest))
      else frames.push({ type, payload })
      for (const waiter of waiting) if (waiter.condition()) waiter.resolve()
    },
  })
  socket.on('error', () => undefined)
  socket.write(
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: hepwrap\r\n\r\n',
  )
  socket.on('data', read)
  if (head.length > 0) read(head)
}
