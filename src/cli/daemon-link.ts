// The connection of one run: bytes out, chunks in. Reads into a few buffers of its own that go round: reading stops
// while all of them are still being written out, which is the back-pressure of a slow reader.
import { connect, type Socket } from 'node:net'
import { HepwrapError } from '../base/errors.js'
import { retryFullBacklog } from './full-backlog.js'
import { daemonDown } from './socket-path.js'

export interface LinkEvents {
  /** The chunk's memory is used again after `release`. */
  onChunk(chunk: Buffer, release: () => void): void
  /** What was written has gone: more may be. */
  onDrain(): void
  /** The connection is over. */
  onEnd(): void
}

export interface DaemonLink {
  /** False: wait for onDrain before more of any size. */
  write(...pieces: readonly Buffer[]): boolean
  isClogged(): boolean
  close(): void
}

/** Throws HW_DAEMON_DOWN. A full backlog (many tasks at once) is waited for. */
export async function openLink(socketPath: string, events: LinkEvents): Promise<DaemonLink> {
  try {
    return await retryFullBacklog(() => connectOnce(socketPath, events))
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ECONNREFUSED') throw daemonDown(socketPath)
    throw new HepwrapError('HW_DAEMON_DOWN', `cannot connect to ${socketPath}: ${String(code)}`)
  }
}

const connectOnce = (socketPath: string, events: LinkEvents): Promise<DaemonLink> =>
  new Promise((resolve, reject) => {
    const socket = connectWithRing(socketPath, (chunk, release) => events.onChunk(chunk, release))
    socket.once('error', reject)
    socket.once('connect', () => {
      // What an error has to tell, the end tells too: the daemon is gone.
      socket.off('error', reject).on('error', () => undefined)
      socket.on('drain', () => events.onDrain())
      socket.on('close', () => events.onEnd())
      resolve(asLink(socket))
    })
  })

const BUFFERS = 3
const BUFFER_BYTES = 256 * 1024

function connectWithRing(path: string, onChunk: LinkEvents['onChunk']): Socket {
  const ring: Buffer[] = []
  let turn = 0
  let held = 0
  const release = () => {
    held--
    socket.resume()
  }
  const socket: Socket = connect({
    path,
    onread: {
      buffer: () => (ring[turn++ % BUFFERS] ??= Buffer.allocUnsafeSlow(BUFFER_BYTES)),
      callback: (length, { buffer, byteOffset }) => {
        held++
        onChunk(Buffer.from(buffer, byteOffset, length), release)
        return held < BUFFERS
      },
    },
  })
  return socket
}

const asLink = (socket: Socket): DaemonLink => ({
  write: (...pieces) => {
    socket.cork()
    for (const piece of pieces) socket.write(piece)
    socket.uncork()
    return !socket.writableNeedDrain
  },
  isClogged: () => socket.writableNeedDrain,
  close: () => void socket.destroy(),
})
