// The byte pump: complete to the last byte, at the reader's pace, and gone with its reader.
import { Duplex, PassThrough, Writable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { createFrameReader, frame, FRAME } from '../../../src/wire/frames.js'
import { pumpOutput } from '../../../src/run/streams.js'
import { turn } from './fakes.js'

/** The engine's end of an attach: the test writes what the container says, and may end or break it. */
function makeEngine() {
  const engine = new Duplex({
    read: () => undefined,
    write: (_chunk, _encoding, callback) => callback(),
    final: (callback) => callback(),
  })
  return {
    engine,
    says: (bytes: Buffer) => engine.push(bytes),
    ends: () => {
      engine.push(null)
      engine.end() // both ways, as a socket is closed
    },
  }
}

/** A client that takes a chunk only when the test lets it. */
function makeClient(highWaterMark = 16) {
  const taken: Buffer[] = []
  let next: (() => void) | undefined
  let isOpen = false
  const client = new Writable({
    highWaterMark,
    write: (chunk: Buffer, _encoding, callback) => {
      taken.push(chunk)
      if (isOpen) callback()
      else next = callback
    },
  })
  return {
    client,
    bytes: () => Buffer.concat(taken),
    takeAll: async () => {
      isOpen = true
      next?.()
      next = undefined
      for (let turns = 0; turns < 20; turns++) await turn()
    },
  }
}

const isSettled = async (promise: Promise<unknown>) => {
  for (let turns = 0; turns < 10; turns++) await turn()
  return Promise.race([promise.then(() => true), turn().then(() => false)])
}

function payloadOf(bytes: Buffer): Buffer {
  const pieces: Buffer[] = []
  createFrameReader({
    onPiece: (type, piece) => {
      expect(type).toBe(FRAME.stdout)
      pieces.push(Buffer.from(piece))
    },
  })(bytes)
  return Buffer.concat(pieces)
}

describe('the pump', () => {
  it('passes the engine’s frames on untouched', async () => {
    const { engine, says, ends } = makeEngine()
    const { client, bytes, takeAll } = makeClient()
    const pump = pumpOutput(engine, client, false)
    const said = Buffer.concat([frame(1, Buffer.from('out')), frame(2, Buffer.from([0, 255, 10]))])
    says(said)
    ends()
    await takeAll()
    await pump.ended
    expect(bytes().equals(said)).toBe(true)
    expect(client.writableEnded).toBe(false) // the closing frame comes after
  })

  it.each([
    [false, 40, 10_000],
    [true, 40, 10_000],
    [false, 3, 50],
    [true, 3, 50], // all of it fits between the engine, which is closed by now, and the reader
  ])(
    'has handed over the last byte when it says so (tty: %s, %i times %i bytes)',
    async (tty, count, size) => {
      const { engine, says, ends } = makeEngine()
      const { client, bytes, takeAll } = makeClient()
      const pump = pumpOutput(engine, client, tty)
      const said = Array.from({ length: count }, (_, index) => Buffer.alloc(size, index))
      for (const chunk of said) says(chunk)
      ends()
      expect(await isSettled(pump.ended)).toBe(false) // the reader has taken one chunk
      expect(pump.isReaderSlow()).toBe(true)
      void takeAll()
      await pump.ended
      client.write('last')
      await takeAll()
      const all = bytes()
      expect(all.subarray(-4).toString()).toBe('last')
      const body = all.subarray(0, -4)
      expect((tty ? payloadOf(body) : body).equals(Buffer.concat(said))).toBe(true)
    },
  )

  it('gives a terminal’s raw bytes a header', async () => {
    const { engine, says, ends } = makeEngine()
    const client = new PassThrough()
    const pump = pumpOutput(engine, client, true)
    says(Buffer.from('a'))
    says(Buffer.from([1, 2, 3]))
    ends()
    await pump.ended
    expect(payloadOf(client.read() as Buffer)).toEqual(Buffer.from([97, 1, 2, 3]))
  })

  it('does not read faster than the client takes', async () => {
    const { engine, says } = makeEngine()
    const { client } = makeClient()
    pumpOutput(engine, client, false)
    let isFull = false
    for (let chunk = 0; chunk < 200 && !isFull; chunk++) {
      isFull = !says(Buffer.alloc(4096))
      await turn()
    }
    expect(isFull).toBe(true)
  })

  it.each([false, true])(
    'ends when the engine breaks off, and throws nothing (tty: %s)',
    async (tty) => {
      const { engine, says } = makeEngine()
      const client = new PassThrough()
      const pump = pumpOutput(engine, client, tty)
      says(Buffer.from('half'))
      await turn()
      engine.destroy(new Error('read ECONNRESET'))
      await pump.ended
    },
  )

  it.each([false, true])(
    'lets the engine run dry once the client is gone (tty: %s)',
    async (tty) => {
      const { engine, says, ends } = makeEngine()
      const { client } = makeClient()
      const pump = pumpOutput(engine, client, tty)
      for (let chunk = 0; chunk < 20; chunk++) says(Buffer.alloc(10_000))
      await turn()
      client.destroy()
      await turn()
      says(Buffer.alloc(100_000))
      ends()
      await pump.ended
    },
  )
})
