// Whatever bytes come, each connection ends, nothing is thrown, nothing stays, and the next one is served.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, it, onTestFinished } from 'vitest'
import { openLedger } from '../../../src/accounting/ledger.js'
import type { Daemon } from '../../../src/daemon/compose.js'
import { createMeters } from '../../../src/daemon/meters.js'
import { buildServer } from '../../../src/daemon/server.js'
import { createLiveRuns } from '../../../src/run/live-runs.js'
import { FRAME, frameHeader } from '../../../src/wire/frames.js'
import { fakeClock, fakeEngine, silentLog } from '../run/fakes.js'
import { someRequest } from '../../support/some-request.js'

const UPGRADE =
  'POST /v1/runs HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: hepwrap\r\n\r\n'

async function startServer(): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), 'hepwrap-fuzz-'))
  const ledger = openLedger(directory)
  const meters = createMeters(fakeClock())
  const daemon = {
    config: {
      node: { cluster: 'hepp', name: 'n1' },
      limits: {
        request_timeout_s: 0.2,
        connections_per_user: 1000,
        requests_per_second: 1,
        requests_burst: 1e6,
      },
    },
    clock: fakeClock(),
    log: silentLog(),
    ledger,
    live: createLiveRuns(0),
    engine: fakeEngine({}),
    refusals: { spend: () => 'spent' },
    meters,
    tally: meters.tally,
    isStopping: () => false,
  } as unknown as Daemon
  const server = buildServer(daemon)
  const path = join(directory, 'socket')
  await server.listen({ path })
  onTestFinished(async () => {
    server.server.closeAllConnections()
    await server.close()
    ledger.close()
    rmSync(directory, { recursive: true })
  })
  return path
}

/** Sends all of it, ends, and waits for the daemon's end. */
function talk(path: string, bytes: Buffer): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(path)
    let text = ''
    socket.on('error', () => undefined)
    socket.on('data', (chunk) => (text += chunk.toString('latin1')))
    socket.once('close', () => resolve(text))
    socket.end(bytes)
  })
}

const payload = fc.oneof(
  fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes)),
  fc.json({ maxDepth: 2 }).map((text) => Buffer.from(text)),
  fc.constant(Buffer.from(JSON.stringify(someRequest()).slice(0, -1))),
)
const anyFrame = fc
  .record({
    type: fc.oneof(fc.constantFrom(...Object.values(FRAME)), fc.integer({ min: 0, max: 255 })),
    payload,
    lie: fc.option(fc.integer({ min: 0, max: 0xffffffff }), { nil: undefined, freq: 4 }),
  })
  .map(({ type, payload: body, lie }) =>
    Buffer.concat([frameHeader(type, lie ?? body.length), body]),
  )
const anyHttp = fc.oneof(
  fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
  fc
    .record({
      method: fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'X'),
      path: fc.constantFrom('/v1/runs', '/v1/records?job=', '/v1/containers/', '/v1/jobs/', '/'),
      rest: fc.string({ maxLength: 20 }),
      header: fc.string({ maxLength: 40 }),
      body: payload,
    })
    .map(({ method, path, rest, header, body }) =>
      Buffer.concat([
        Buffer.from(`${method} ${path}${rest} HTTP/1.1\r\nHost: x\r\n${header}\r\n\r\n`),
        body,
      ]),
    ),
)
const anyRun = fc
  .array(anyFrame, { maxLength: 4 })
  .map((frames) => Buffer.concat([Buffer.from(UPGRADE), ...frames]))

it('is answered or dropped, and leaves the daemon as it was', { timeout: 30_000 }, async () => {
  const path = await startServer()
  await talk(path, Buffer.from('x'))
  const descriptors = () => readdirSync('/proc/self/fd').length
  const before = descriptors()
  const inputs = [...fc.sample(anyHttp, 150), ...fc.sample(anyRun, 150)]
  const replies = await Promise.all(inputs.map((bytes) => talk(path, bytes)))
  expect(replies.filter((text) => text !== '' && !text.startsWith('HTTP/1.1 '))).toEqual([])
  expect(replies.filter((text) => /HW_INTERNAL|\bat .*\.js:/.test(text))).toEqual([])
  const served = await talk(
    path,
    Buffer.from('GET /v1/containers HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'),
  )
  expect(served).toMatch(/^HTTP\/1\.1 200 /)
  while (descriptors() > before + 1) await new Promise((resolve) => setTimeout(resolve, 10))
})
