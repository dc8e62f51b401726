// Our stdin on its way to the container: read only as fast as the connection takes it, and only with --interactive.
// A blocking read would be left behind in a thread and keep the process from exiting, so what may block is polled.
import { constants, createReadStream, fstatSync, openSync } from 'node:fs'
import { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import { isatty, ReadStream } from 'node:tty'
import { say } from './say.js'

export interface InputSink {
  /** An empty piece is the end of stdin. False: wait for resume(). */
  send(piece: Buffer): boolean
  interrupt(signal: 'SIGINT' | 'SIGQUIT'): void
  /** Reports whether Ctrl-C is still ours to translate: raw mode is on and the container has not spoken yet. */
  mayInterrupt(): boolean
}

export interface Input {
  resume(): void
  stop(): void
}

export function startInput(sink: InputSink, terminal: ReadStream | undefined): Input {
  const stream = terminal ?? openStdin()
  let stopped = false
  const sendEnd = () => {
    if (!stopped) sink.send(Buffer.alloc(0))
    stopped = true
  }
  stream.on('data', (chunk: Buffer) => {
    if (stopped) return
    const piece = sink.mayInterrupt() ? translateKeys(chunk, sink) : chunk
    if (piece.length > 0 && !sink.send(piece)) stream.pause()
  })
  stream.once('end', sendEnd)
  stream.once('error', (error: NodeJS.ErrnoException) => {
    // EIO: the terminal has hung up, which SIGHUP tells better
    if (!stopped && error.code !== 'EIO') say(`cannot read the standard input: ${error.message}`)
    sendEnd()
  })
  return {
    resume: () => {
      if (!stopped) stream.resume()
    },
    stop: () => {
      stopped = true
      stream.pause()
      stream.destroy()
    },
  }
}

/** Pulling and starting can be interrupted though the terminal is raw: its keys become signals until the first output. */
function translateKeys(chunk: Buffer, sink: InputSink): Buffer {
  const CTRL_C = 0x03
  const CTRL_BACKSLASH = 0x1c
  return chunk.filter((byte) => {
    if (byte === CTRL_C) sink.interrupt('SIGINT')
    if (byte === CTRL_BACKSLASH) sink.interrupt('SIGQUIT')
    return byte !== CTRL_C && byte !== CTRL_BACKSLASH
  }) as Buffer
}

function openStdin(): Readable {
  if (isatty(0)) return new ReadStream(0)
  const stat = fstatSync(0)
  if (stat.isFIFO()) return new Socket({ fd: reopenPipe(), readable: true, writable: false })
  if (stat.isSocket()) return new Socket({ fd: 0, readable: true, writable: false })
  return createReadStream('', { fd: 0, autoClose: false })
}

/** Node makes a pipe non-blocking; on a description of our own that hurts nobody who shares the pipe. */
function reopenPipe(): number {
  try {
    return openSync('/proc/self/fd/0', constants.O_RDONLY | constants.O_NONBLOCK)
  } catch {
    return 0 // another user's pipe
  }
}
