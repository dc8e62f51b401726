// Frames: whatever pieces a socket cuts them into, the same frames come out, and none is kept.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  createFrameReader,
  frame,
  FRAME,
  FRAME_HEADER_BYTES,
  frameHeader,
} from '../../../src/wire/frames.js'

interface Read {
  type: number
  payload: Buffer
}

/** A reader that puts frames together again, and counts on being told the truth about `last`. */
function collector() {
  const frames: Read[] = []
  const headers: [number, number][] = []
  let pieces: Buffer[] = []
  const read = createFrameReader({
    onHeader: (type, length) => void headers.push([type, length]),
    onPiece: (type, piece, last) => {
      pieces.push(Buffer.from(piece))
      if (!last) return
      frames.push({ type, payload: Buffer.concat(pieces) })
      pieces = []
    },
  })
  return { frames, headers, read, pending: () => pieces.length }
}

const anyFrame = fc.record({
  type: fc.integer({ min: 0, max: 255 }),
  payload: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
})

function* chunksOf(stream: Buffer, sizes: readonly number[]): Generator<Buffer> {
  let offset = 0
  for (const size of sizes) {
    yield stream.subarray(offset, offset + size)
    offset += size
  }
  yield stream.subarray(offset)
}

describe('the incremental reader', () => {
  it('gives the same frames for any chunking', () => {
    fc.assert(
      fc.property(
        fc.array(anyFrame, { maxLength: 8 }),
        fc.array(fc.nat({ max: 20 }), { maxLength: 60 }),
        (frames, sizes) => {
          const stream = Buffer.concat(frames.map(({ type, payload }) => frame(type, payload)))
          const { frames: got, headers, read, pending } = collector()
          for (const chunk of chunksOf(stream, sizes)) read(chunk)
          expect(got).toEqual(frames)
          expect(headers).toEqual(frames.map(({ type, payload }) => [type, payload.length]))
          expect(pending()).toBe(0)
        },
      ),
    )
  })

  it('gives the same frames byte by byte', () => {
    const { frames, read } = collector()
    const stream = Buffer.concat([
      frame(FRAME.stdout, Buffer.from('abc')),
      frame(FRAME.stdin, Buffer.alloc(0)),
    ])
    for (const byte of stream) read(Buffer.from([byte]))
    expect(frames).toEqual([
      { type: FRAME.stdout, payload: Buffer.from('abc') },
      { type: FRAME.stdin, payload: Buffer.alloc(0) },
    ])
  })

  it('tells of a frame without a payload at its header: once, empty and last', () => {
    const pieces: unknown[] = []
    const read = createFrameReader({
      onPiece: (type, piece, last) => void pieces.push([type, piece.length, last]),
    })
    read(frameHeader(FRAME.stdin, 0))
    read(Buffer.alloc(0))
    read(Buffer.concat([frameHeader(FRAME.stdin, 0), frameHeader(FRAME.close, 0)]))
    expect(pieces).toEqual([
      [FRAME.stdin, 0, true],
      [FRAME.stdin, 0, true],
      [FRAME.close, 0, true],
    ])
  })

  it('hands pieces of a large payload on as they come, in place, and keeps none', () => {
    const pieces: [Buffer, boolean][] = []
    const read = createFrameReader({
      onPiece: (_type, piece, last) => void pieces.push([piece, last]),
    })
    read(frameHeader(FRAME.stdout, 3))
    const first = Buffer.from('ab')
    read(first)
    expect(pieces).toEqual([[Buffer.from('ab'), false]])
    expect(pieces[0]?.[0].buffer).toBe(first.buffer)
    read(Buffer.from('c'))
    expect(pieces[1]).toEqual([Buffer.from('c'), true])
  })

  it('refuses by header, before a byte of the payload is read', () => {
    const seen: string[] = []
    const read = createFrameReader({
      onHeader: (type, length) => {
        seen.push(`header ${type} ${length}`)
        if (length > 10) throw new Error('too large')
      },
      onPiece: (type) => void seen.push(`piece ${type}`),
    })
    const stream = Buffer.concat([
      frame(2, Buffer.from('fine')),
      frameHeader(1, 0xffff_ffff),
      Buffer.from('xx'),
    ])
    expect(() => read(stream)).toThrow('too large')
    expect(seen).toEqual(['header 2 4', 'piece 2', 'header 1 4294967295'])
  })

  it('ignores the three bytes that docker keeps zero', () => {
    const { frames, read } = collector()
    const odd = frame(FRAME.stderr, Buffer.from('x'))
    odd.fill(0xff, 1, 4)
    read(odd)
    expect(frames).toEqual([{ type: FRAME.stderr, payload: Buffer.from('x') }])
  })
})

describe('writing', () => {
  it('writes docker’s header: type, three zero bytes, length big-endian', () => {
    expect([...frameHeader(FRAME.stderr, 0x01020304)]).toEqual([2, 0, 0, 0, 1, 2, 3, 4])
    expect(frameHeader(0, 0)).toHaveLength(FRAME_HEADER_BYTES)
  })

  it('writes objects as JSON in UTF-8', () => {
    const { frames, read } = collector()
    read(frame(FRAME.close, { message: 'für' }))
    expect(frames).toEqual([{ type: FRAME.close, payload: Buffer.from('{"message":"für"}') }])
  })

  it('has no two frame types alike, and docker’s own first', () => {
    const types = Object.values(FRAME)
    expect(new Set(types).size).toBe(types.length)
    expect([FRAME.stdin, FRAME.stdout, FRAME.stderr]).toEqual([0, 1, 2])
  })
})
