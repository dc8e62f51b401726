// Frames of a run's stream: docker's 8-byte header (type, three zero bytes, length big-endian) and a payload.
// Types 0-2 are docker's own, so engine output passes through unchanged; the others are ours.

export const FRAME = {
  stdin: 0,
  stdout: 1,
  stderr: 2,
  /** client, first frame: RunRequest as JSON */
  request: 16,
  /** daemon, only before the engine's output begins: RunEvent as JSON */
  event: 17,
  /** client: {"signal": "SIGTERM"} */
  signal: 18,
  /** client: {"rows": 24, "columns": 80} */
  resize: 19,
  /** daemon, last frame: RunClose as JSON */
  close: 20,
} as const

export const FRAME_HEADER_BYTES = 8

/** Largest request frame the daemon reads, in bytes. */
export const MAX_REQUEST_BYTES = 4 * 1024 * 1024

/** Largest frame of any other type that the daemon reads, in bytes; clients cut stdin into smaller ones. */
export const MAX_FRAME_BYTES = 1024 * 1024

export function frameHeader(type: number, length: number): Buffer {
  const header = Buffer.alloc(FRAME_HEADER_BYTES)
  header.writeUInt8(type, 0)
  header.writeUInt32BE(length, 4)
  return header
}

/** A whole frame; an object payload is sent as JSON. */
export function frame(type: number, payload: Buffer | object): Buffer {
  const body = Buffer.isBuffer(payload) ? payload : Buffer.from(JSON.stringify(payload))
  return Buffer.concat([frameHeader(type, body.length), body])
}

export interface FrameSink {
  /** A header has arrived; throw to refuse the frame before its payload is read. */
  onHeader?(type: number, length: number): void
  /** A piece of a payload as it arrived (never the whole of a large one); `last` closes the frame. */
  onPiece(type: number, piece: Buffer, last: boolean): void
}

const EMPTY = Buffer.alloc(0)

/** An incremental reader: feed it chunks as they come; it keeps at most one header, never a payload. */
export function createFrameReader(sink: FrameSink): (chunk: Buffer) => void {
  const header = Buffer.alloc(FRAME_HEADER_BYTES)
  let headerBytes = 0
  let type = 0
  let remaining = 0

  return (chunk) => {
    let offset = 0
    while (offset < chunk.length) {
      if (remaining === 0) {
        const taken = chunk.copy(
          header,
          headerBytes,
          offset,
          offset + FRAME_HEADER_BYTES - headerBytes,
        )
        headerBytes += taken
        offset += taken
        if (headerBytes < FRAME_HEADER_BYTES) return
        headerBytes = 0
        type = header.readUInt8(0)
        remaining = header.readUInt32BE(4)
        sink.onHeader?.(type, remaining)
        if (remaining === 0) sink.onPiece(type, EMPTY, true)
        continue
      }
      const piece = chunk.subarray(offset, offset + remaining)
      offset += piece.length
      remaining -= piece.length
      sink.onPiece(type, piece, remaining === 0)
    }
  }
}
