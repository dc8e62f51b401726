// The byte pump between the engine's attach stream and the client's socket. Without a tty the engine's frames are the
// client's frames and pass through untouched; with one the raw bytes get a header. Back-pressure goes both ways.
import { Transform, type Duplex, type Writable } from 'node:stream'
import { FRAME, frameHeader } from '../wire/frames.js'

export interface OutputPump {
  /** Resolves when the engine has sent its last byte and it has been handed to the client's socket. */
  readonly ended: Promise<void>
  /** Reports whether the client is what the output waits for. */
  isReaderSlow(): boolean
  /** Lets the engine's output run dry unread: the client is gone. */
  discard(): void
}

export function pumpOutput(engine: Duplex, client: Writable, tty: boolean): OutputPump {
  const source = tty ? withFrameHeaders(engine) : engine
  source.pipe(client, { end: false })
  const discard = () => {
    source.unpipe(client)
    source.resume()
  }
  client.once('close', discard)
  engine.on('error', () => undefined) // a lost engine ends the stream; run/ tells why
  const ended = new Promise<void>((resolve) => {
    source.once('end', resolve)
    if (!tty) engine.once('close', () => setImmediate(resolve)) // broken off: no 'end' comes
  })
  return {
    ended: ended.then(() => void client.off('close', discard)),
    isReaderSlow: () => client.writableNeedDrain,
    discard,
  }
}

function withFrameHeaders(engine: Duplex): Transform {
  const framed = new Transform({
    transform(chunk: Buffer, _encoding, callback) {
      this.push(frameHeader(FRAME.stdout, chunk.length))
      callback(null, chunk)
    },
  })
  engine.once('close', () => framed.end()) // also where it broke off; what is in here still goes out
  return engine.pipe(framed)
}
