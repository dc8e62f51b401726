// A client's frames, each to its place; what is malformed, too large or too late is refused, and nothing piles up.
import { Duplex } from 'node:stream'
import { describe, expect, it } from 'vitest'
import {
  frame,
  FRAME,
  frameHeader,
  MAX_FRAME_BYTES,
  MAX_REQUEST_BYTES,
} from '../../../src/wire/frames.js'
import { createInbox } from '../../../src/daemon/inbox.js'
import { createUnreadLimit, type UnreadShare } from '../../../src/daemon/unread.js'
import { someRequest } from '../../support/some-request.js'
import { moment, socketPair, until } from './sockets.js'

const NEVER_MS = 60_000

async function open(timeoutMs = NEVER_MS, unread: UnreadShare = createUnreadLimit(1 << 24)(1)) {
  const { ours, theirs } = await socketPair()
  const inbox = createInbox(ours, timeoutMs, unread)
  ours.on('data', inbox.feed)
  const send = (...frames: Buffer[]) => theirs.write(Buffer.concat(frames))
  return { ours, theirs, inbox, send }
}

const request = (fields = {}) => frame(FRAME.request, someRequest(fields))
const interactive = () => request({ interactive: true })
const stdin = (text: string) => frame(FRAME.stdin, Buffer.from(text))
const EOF = frameHeader(FRAME.stdin, 0)

/** A container's stdin that takes what the test lets it. */
function makeEngine({ isStuck = false } = {}) {
  const taken: Buffer[] = []
  let isEnded = false
  let stuck: (() => void) | undefined
  const engine = new Duplex({
    highWaterMark: 1024,
    read: () => undefined,
    write: (chunk: Buffer, _encoding, callback) => {
      taken.push(chunk)
      if (isStuck) stuck = callback
      else callback()
    },
    final: (callback) => {
      isEnded = true
      callback()
    },
  })
  const errors: Error[] = []
  engine.on('error', (error) => errors.push(error))
  return {
    engine,
    errors,
    text: () => Buffer.concat(taken).toString(),
    bytes: () => Buffer.concat(taken).length,
    isEnded: () => isEnded,
    unstick: () => {
      isStuck = false
      stuck?.()
      stuck = undefined
    },
  }
}

describe('the first frame', () => {
  it('is the request, in whatever pieces it comes', async () => {
    const { inbox, theirs } = await open()
    const whole = request({ command: ['ls', 'ü'] })
    for (let offset = 0; offset < whole.length; offset += 7) {
      theirs.write(whole.subarray(offset, offset + 7))
      if (offset % 70 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    expect(await inbox.request).toEqual(someRequest({ command: ['ls', 'ü'] }))
  })

  it.each([FRAME.stdin, FRAME.stdout, FRAME.signal, FRAME.close, 255])(
    'of another type is refused by its header: %i',
    async (type) => {
      const { inbox, send } = await open()
      send(frameHeader(type, 1000))
      await expect(inbox.request).rejects.toMatchObject({ code: 'HW_REQUEST_INVALID' })
    },
  )

  it('that is too large is refused by its header', async () => {
    const { inbox, send } = await open()
    send(frameHeader(FRAME.request, MAX_REQUEST_BYTES + 1))
    await expect(inbox.request).rejects.toMatchObject({
      code: 'HW_REQUEST_TOO_LARGE',
      message: expect.stringContaining(String(MAX_REQUEST_BYTES + 1)) as string,
    })
  })

  it('that is empty or malformed is refused', async () => {
    for (const bad of [
      frameHeader(FRAME.request, 0),
      frame(FRAME.request, Buffer.from('{]')),
      Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    ]) {
      const { inbox, send } = await open()
      send(bad)
      await expect(inbox.request).rejects.toMatchObject({ code: 'HW_REQUEST_INVALID' })
    }
  })

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['half a header', frameHeader(FRAME.request, 100).subarray(0, 5)],
    ['half a request', request().subarray(0, 40)],
  ])('that does not come is not waited for: %s', async (_what, bytes) => {
    const { inbox, theirs } = await open(50)
    theirs.write(bytes)
    await expect(inbox.request).rejects.toMatchObject({ code: 'HW_REQUEST_TIMEOUT' })
  })

  it('that drips is not waited for', async () => {
    const { inbox, theirs } = await open(80)
    const drip = setInterval(() => theirs.write('x'), 5)
    theirs.write(frameHeader(FRAME.request, MAX_REQUEST_BYTES))
    await expect(inbox.request).rejects.toMatchObject({ code: 'HW_REQUEST_TIMEOUT' })
    clearInterval(drip)
  })

  it('of a client that has gone is not waited for', async () => {
    const { inbox, theirs, ours } = await open()
    theirs.destroy()
    ours.on('end', () => ours.destroy())
    await expect(inbox.request).rejects.toMatchObject({ code: 'HW_CLIENT_GONE' })
  })

  it('counts against its user until it is complete or refused', async () => {
    const shareOf = createUnreadLimit(1000)
    const first = await open(50, shareOf(1))
    first.send(frameHeader(FRAME.request, 5000), Buffer.alloc(900, ' '))
    await moment()
    const second = await open(NEVER_MS, shareOf(1))
    second.send(request())
    await expect(second.inbox.request).rejects.toMatchObject({ code: 'HW_TOO_MANY_RUNS' })
    const other = await open(NEVER_MS, shareOf(2))
    other.send(request())
    await other.inbox.request
    await expect(first.inbox.request).rejects.toMatchObject({ code: 'HW_REQUEST_TIMEOUT' })
    for (let again = 0; again < 5; again++) {
      const third = await open(NEVER_MS, shareOf(1))
      third.send(request())
      await third.inbox.request
    }
  })

  it('in time stays accepted after the time is over', async () => {
    const { inbox, send, ours } = await open(30)
    send(request())
    await inbox.request
    await new Promise((resolve) => setTimeout(resolve, 60))
    expect(ours.destroyed).toBe(false)
  })
})

describe('stdin', () => {
  it('reaches the container, and its end does', async () => {
    const { inbox, send } = await open()
    const { engine, text, isEnded } = makeEngine()
    send(interactive())
    await inbox.request
    inbox.stdinTo(engine)
    send(stdin('one '), stdin('two'), EOF)
    await until(isEnded)
    expect(text()).toBe('one two')
  })

  it('that comes before there is a container is kept for it, in order, with its end', async () => {
    const { inbox, send } = await open()
    const { engine, text, isEnded } = makeEngine()
    send(interactive(), stdin('early '), stdin('birds'), EOF)
    await inbox.request
    await moment()
    inbox.stdinTo(engine)
    await until(isEnded)
    expect(text()).toBe('early birds')
  })

  it('that comes early in quantity waits in the client, not here', async () => {
    const { inbox, ours, send, theirs } = await open()
    const { engine, bytes, isEnded } = makeEngine()
    send(interactive())
    await inbox.request
    const total = 8 * 1024 * 1024
    for (let sent = 0; sent < total; sent += 65536)
      theirs.write(frame(FRAME.stdin, Buffer.alloc(65536)))
    theirs.write(EOF)
    await until(() => ours.isPaused())
    await moment()
    expect(ours.bytesRead).toBeLessThan(1024 * 1024)
    inbox.stdinTo(engine)
    await until(isEnded)
    expect(bytes()).toBe(total)
  })

  it('waits for a container that does not read, and goes on when it does', async () => {
    const { inbox, ours, send, theirs } = await open()
    const { engine, bytes, isEnded, unstick } = makeEngine({ isStuck: true })
    send(interactive())
    await inbox.request
    inbox.stdinTo(engine)
    const total = 4 * 1024 * 1024
    for (let sent = 0; sent < total; sent += 65536)
      theirs.write(frame(FRAME.stdin, Buffer.alloc(65536)))
    theirs.write(EOF)
    await until(() => ours.isPaused())
    await moment()
    expect(ours.bytesRead).toBeLessThan(1024 * 1024)
    unstick()
    await until(isEnded)
    expect(bytes()).toBe(total)
  })

  it('is dropped where the container has none, and holds nothing up', async () => {
    const { inbox, send, theirs, ours } = await open()
    const signals: number[] = []
    inbox.onSignal = (signal) => void signals.push(signal)
    send(request())
    await inbox.request
    for (let sent = 0; sent < 64; sent++) theirs.write(frame(FRAME.stdin, Buffer.alloc(65536)))
    send(EOF, frame(FRAME.signal, { signal: 'SIGTERM' }))
    await until(() => signals.length > 0)
    expect(ours.isPaused()).toBe(false)
  })

  it('after its end is nobody’s, and breaks nothing', async () => {
    const { inbox, send } = await open()
    const { engine, errors, text } = makeEngine()
    const signals: number[] = []
    inbox.onSignal = (signal) => void signals.push(signal)
    send(interactive())
    await inbox.request
    inbox.stdinTo(engine)
    send(stdin('x'), EOF, stdin('late'), EOF, frame(FRAME.signal, { signal: 'USR1' }))
    await until(() => signals.length > 0)
    await moment()
    expect(text()).toBe('x')
    expect(errors).toEqual([])
    expect(engine.destroyed).toBe(false)
  })

  it('early, of which the end comes twice and more behind it, reaches the container up to the end', async () => {
    const { inbox, send } = await open()
    const { engine, errors, isEnded, text } = makeEngine()
    send(interactive(), stdin('x'), EOF, stdin('late'))
    await inbox.request
    await moment()
    inbox.stdinTo(engine)
    await until(isEnded)
    expect(text()).toBe('x')
    expect(errors).toEqual([])
  })

  it('of a container that is gone is read and dropped', async () => {
    const { inbox, ours, send, theirs } = await open()
    const { engine } = makeEngine({ isStuck: true })
    send(interactive())
    await inbox.request
    inbox.stdinTo(engine)
    for (let sent = 0; sent < 64; sent++) theirs.write(frame(FRAME.stdin, Buffer.alloc(65536)))
    await until(() => ours.isPaused())
    engine.destroy()
    await until(() => ours.bytesRead > 64 * 65536)
  })

  it('in a frame that is too large ends the run of a client that broke the protocol', async () => {
    const { inbox, ours, send } = await open()
    send(interactive())
    await inbox.request
    send(frameHeader(FRAME.stdin, MAX_FRAME_BYTES + 1))
    await until(() => ours.destroyed)
  })
})

describe('signals and sizes', () => {
  it('reach the run, also from behind stdin that nobody reads yet', async () => {
    const { inbox, send } = await open()
    const { engine } = makeEngine({ isStuck: true })
    const heard: unknown[] = []
    inbox.onSignal = (signal) => void heard.push(signal)
    inbox.onResize = (rows, columns) => void heard.push([rows, columns])
    send(interactive(), stdin('early'), frame(FRAME.signal, { signal: 'SIGUSR1' }))
    await until(() => heard.length === 1)
    inbox.stdinTo(engine)
    send(
      stdin('x'.repeat(2000)),
      frame(FRAME.signal, { signal: 'TERM' }),
      frame(FRAME.resize, { rows: 30, columns: 100 }),
    )
    await until(() => heard.length === 3)
    expect(heard).toEqual([10, 15, [30, 100]])
  })

  it.each([
    ['a signal that is none', frame(FRAME.signal, { signal: 'SIGNOPE' })],
    ['a signal that is no JSON', frame(FRAME.signal, Buffer.from('TERM'))],
    ['a signal too large', frameHeader(FRAME.signal, 1025)],
    ['a size too large', frameHeader(FRAME.resize, 1 << 20)],
    ['a second request', request()],
    ['output', frame(FRAME.stdout, Buffer.from('x'))],
    ['a close', frame(FRAME.close, {})],
    ['an unknown type', frameHeader(99, 0)],
  ])('of a client that breaks the protocol end its run: %s', async (_what, bytes) => {
    const { inbox, ours, send } = await open()
    send(request())
    await inbox.request
    send(bytes)
    await until(() => ours.destroyed)
  })

  it('are nobody’s once the run has ended', async () => {
    const { inbox, ours, send } = await open()
    send(request())
    await inbox.request
    inbox.ignore()
    send(frame(FRAME.signal, { signal: 'SIGNOPE' }), frameHeader(99, 7))
    await moment()
    expect(ours.destroyed).toBe(false)
  })
})
