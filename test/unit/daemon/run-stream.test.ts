// The socket of one run from its first byte to its last: refusals are told and recorded, and the last word arrives.
import { mkdtempSync, rmSync } from 'node:fs'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { openLedger } from '../../../src/accounting/ledger.js'
import { serveRun } from '../../../src/daemon/run-stream.js'
import { createUnreadLimit } from '../../../src/daemon/unread.js'
import type { Caller } from '../../../src/identity/caller.js'
import { createRefusalBudget } from '../../../src/run/refusal-budget.js'
import type { RunDeps } from '../../../src/run/run-deps.js'
import { createFrameReader, frame, FRAME, frameHeader } from '../../../src/wire/frames.js'
import type { RunClose } from '../../../src/wire/run-api.js'
import { createMeters } from '../../../src/daemon/meters.js'
import { fakeClock, fakeEngine, silentLog, someCaller } from '../run/fakes.js'
import { moment, socketPair, until } from './sockets.js'

/** A daemon as far as a run that never begins needs one. */
function someDeps({ isStopping = false, requestTimeoutS = 10 } = {}) {
  const directory = mkdtempSync(join(tmpdir(), 'hepwrap-stream-'))
  const ledger = openLedger(directory)
  onTestFinished(() => {
    ledger.close()
    rmSync(directory, { recursive: true })
  })
  const deps = {
    config: {
      node: { cluster: 'hepp', name: 'n1' },
      limits: { request_timeout_s: requestTimeoutS },
    },
    clock: fakeClock(),
    log: silentLog(),
    ledger,
    engine: fakeEngine({}),
    refusals: createRefusalBudget(fakeClock()),
    tally: createMeters(fakeClock()).tally,
    isStopping: () => isStopping,
  } as unknown as RunDeps
  return { deps, rows: () => [...ledger.read({}, { uid: undefined })].flat() }
}

const unlimited = createUnreadLimit(Number.MAX_SAFE_INTEGER)

const serve = (socket: Socket, head: Buffer, deps: RunDeps, caller: Caller) =>
  serveRun({ socket, head, caller, unread: unlimited(caller.uid) }, deps)

/** The client's end: all that it has read, and the closing frame in it. */
function listen(theirs: NodeJS.ReadableStream) {
  const chunks: Buffer[] = []
  let isEnded = false
  theirs.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => (isEnded = true))
  const text = () => Buffer.concat(chunks)
  const close = (): RunClose | undefined => {
    const head = text().indexOf('\r\n\r\n')
    let found: RunClose | undefined
    createFrameReader({
      onPiece: (type, piece) => {
        if (type === FRAME.close) found = JSON.parse(piece.toString()) as RunClose
      },
    })(text().subarray(head + 4))
    return found
  }
  return { text, close, isEnded: () => isEnded }
}

describe('a client that', () => {
  it.each<[string, Buffer, string]>([
    ['sends no request', Buffer.alloc(0), 'HW_REQUEST_TIMEOUT'],
    ['sends half a request', frameHeader(FRAME.request, 100), 'HW_REQUEST_TIMEOUT'],
    ['sends a malformed one', frame(FRAME.request, Buffer.from('{')), 'HW_REQUEST_INVALID'],
    ['sends too much', frameHeader(FRAME.request, 0xffffffff), 'HW_REQUEST_TOO_LARGE'],
    [
      'speaks another protocol',
      Buffer.from('\x16\x03\x01\x02\x00\x01\x00\x01'),
      'HW_REQUEST_INVALID',
    ],
  ])('%s is told so, with status 125, and recorded', async (_what, bytes, code) => {
    const { deps, rows } = someDeps({ requestTimeoutS: 0.05 })
    const { ours, theirs } = await socketPair()
    const { text, close, isEnded } = listen(theirs)
    theirs.write(bytes)
    await serve(ours, Buffer.alloc(0), deps, someCaller({ uid: 4711 }))
    await until(isEnded)
    expect(text().toString()).toMatch(/^HTTP\/1\.1 101 /)
    expect(close()).toMatchObject({ exit: 125, code })
    expect(rows()).toMatchObject([
      { id: close()?.run_id, uid: 4711, state: 'REFUSED', reason: code, exit_code: 125 },
    ])
  })

  it('is gone before it said a word leaves no record and no error', async () => {
    const { deps, rows } = someDeps()
    const { ours, theirs } = await socketPair()
    theirs.destroy()
    ours.on('end', () => ours.destroy())
    await serve(ours, Buffer.alloc(0), deps, someCaller())
    expect(rows()).toEqual([])
  })

  it('sent its request with the headers is heard', async () => {
    const { deps } = someDeps()
    const { ours, theirs } = await socketPair()
    const { close, isEnded } = listen(theirs)
    await serve(ours, frame(FRAME.request, Buffer.from('7')), deps, someCaller())
    await until(isEnded)
    expect(close()).toMatchObject({ code: 'HW_REQUEST_INVALID' })
  })
})

describe('the last frame', () => {
  const LINGERED_MS = 60_000
  const bulk = Buffer.alloc(4 * 1024 * 1024, 'x')

  /** A run whose output the client has not read yet, refused at its end. */
  async function endWithUnread(isStopping = false) {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
    onTestFinished(() => void vi.useRealTimers())
    const { deps } = someDeps({ isStopping })
    const { ours, theirs } = await socketPair()
    theirs.pause()
    ours.write(bulk)
    await serve(ours, frame(FRAME.request, Buffer.from('7')), deps, someCaller())
    return { ours, theirs }
  }

  it('reaches a reader that takes its time, and all before it', async () => {
    const { theirs } = await endWithUnread()
    await vi.advanceTimersByTimeAsync(LINGERED_MS)
    let bytes = 0
    let isEnded = false
    theirs.on('data', (chunk: Buffer) => (bytes += chunk.length)).on('end', () => (isEnded = true))
    theirs.resume()
    await until(() => isEnded || theirs.destroyed)
    expect(bytes).toBeGreaterThan(bulk.length)
    expect(isEnded).toBe(true)
  })

  it('is not kept for a client that has died', async () => {
    const { ours, theirs } = await endWithUnread()
    theirs.destroy()
    await until(() => ours.destroyed)
  })

  it('is not kept for ever by a daemon that is being stopped', async () => {
    const { ours } = await endWithUnread(true)
    await vi.advanceTimersByTimeAsync(LINGERED_MS)
    expect(ours.destroyed).toBe(true)
  })

  it('once read, holds no socket open for a client that does not close', async () => {
    const { ours, theirs } = await endWithUnread()
    theirs.resume()
    await until(() => ours.writableFinished)
    await vi.advanceTimersByTimeAsync(LINGERED_MS)
    await until(() => ours.destroyed)
  })

  it('reaches a client that is in the middle of a long write', async () => {
    const { deps } = someDeps()
    const { ours, theirs } = await socketPair()
    const { close, isEnded } = listen(theirs)
    theirs.write(Buffer.concat([frame(FRAME.request, Buffer.from('7')), bulk, bulk]))
    await serve(ours, Buffer.alloc(0), deps, someCaller())
    await until(isEnded)
    expect(close()).toMatchObject({ code: 'HW_REQUEST_INVALID' })
    await moment()
  })
})
