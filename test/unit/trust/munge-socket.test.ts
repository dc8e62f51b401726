// What becomes of a request when munged is not as it should be. The real one: test/integration/trust.
import { createServer, type Server, type Socket } from 'node:net'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { HepwrapError } from '../../../src/base/errors.js'
import { makeCredential, openCredential } from '../../../src/trust/munge-socket.js'
import { framed, number } from '../../../src/trust/munge-frames.js'

let directory: string
let server: Server | undefined
const sockets = new Set<Socket>()

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'munged-'))
})
afterEach(() => {
  sockets.forEach((socket) => socket.destroy())
  sockets.clear()
  server?.close()
  server = undefined
  rmSync(directory, { recursive: true })
})

/** A munged that does with its connections what the test wants. */
async function munged(serve: (socket: Socket) => void): Promise<string> {
  const path = join(directory, 'socket')
  server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    serve(socket)
  })
  await new Promise<void>((resolve) => server!.listen(path, resolve))
  return path
}

const unavailable = (reason: RegExp) => (error: unknown) =>
  error instanceof HepwrapError &&
  error.code === 'HW_MUNGE_UNAVAILABLE' &&
  reason.test(error.message)

describe('a munged', () => {
  it('that is not there', async () => {
    const socketPath = join(directory, 'nothing')
    await expect(makeCredential('x', { socketPath })).rejects.toSatisfy(unavailable(/ENOENT/))
  })

  it('that hangs is given up after the time allowed, and the socket with it', async () => {
    const socketPath = await munged(() => undefined)
    await expect(openCredential('MUNGE:x:', { socketPath, waitMs: 50 })).rejects.toSatisfy(
      unavailable(/no answer within 50 ms/),
    )
    const [socket] = sockets
    await new Promise((resolve) => socket!.resume().once('close', resolve))
  })

  it('that hangs holds up nobody who waits for his turn for longer than he wants', async () => {
    const socketPath = await munged(() => undefined)
    const asked = Array.from({ length: 100 }, () => makeCredential('x', { socketPath, waitMs: 50 }))
    for (const one of await Promise.allSettled(asked))
      expect(one).toMatchObject({ status: 'rejected', reason: { code: 'HW_MUNGE_UNAVAILABLE' } })
  })

  it('that stops in the middle of its answer', async () => {
    const socketPath = await munged((socket) =>
      socket.write(framed(3, Buffer.alloc(40)).subarray(0, 20)),
    )
    await expect(makeCredential('x', { socketPath, waitMs: 50 })).rejects.toSatisfy(
      unavailable(/no answer within 50 ms/),
    )
  })

  it('that closes the connection', async () => {
    const socketPath = await munged((socket) => socket.end())
    await expect(makeCredential('x', { socketPath })).rejects.toSatisfy(
      unavailable(/without an answer/),
    )
  })

  it('that speaks otherwise', async () => {
    const socketPath = await munged((socket) => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'))
    await expect(makeCredential('x', { socketPath })).rejects.toSatisfy(
      unavailable(/another version/),
    )
  })

  it('that announces more than it ever says', async () => {
    const huge = Buffer.concat([framed(3, Buffer.alloc(0)).subarray(0, 7), number(0x7fffffff)])
    const socketPath = await munged((socket) => socket.write(huge))
    await expect(makeCredential('x', { socketPath })).rejects.toSatisfy(
      unavailable(/another version/),
    )
  })

  it('that fails within', async () => {
    const failure = framed(3, Buffer.concat([Buffer.of(5, 4), Buffer.from('oom\0'), number(0)]))
    const socketPath = await munged((socket) => socket.write(failure))
    await expect(makeCredential('x', { socketPath })).rejects.toSatisfy(unavailable(/oom/))
  })
})
