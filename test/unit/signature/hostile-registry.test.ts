// A registry that wants to hang, fill or mislead the daemon: each attempt ends by itself, and says why.
import { generateKeyPairSync } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { createServer, type Socket } from 'node:net'
import { gzipSync } from 'node:zlib'
import { describe, expect, it, onTestFinished } from 'vitest'
import { parseImageRef } from '../../../src/plan/image-ref.js'
import { MAX_MANIFEST_BYTES, MAX_SIGNATURES } from '../../../src/signature/cosign.js'
import { exchange } from '../../../src/signature/http-exchange.js'
import { createRegistry } from '../../../src/signature/registry.js'
import { signatureManifest, signDigest, signPayload } from '../../support/cosign-signature.js'
import { eventually } from '../../world/eventually.js'
import {
  answersOf,
  blobPath,
  DIGEST,
  MANIFEST,
  redirect,
  send,
  startRegistry,
  type Answers,
} from './fake-registry.js'

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const signature = signDigest(DIGEST, privateKey)
const sound = answersOf([signature])
const blob = blobPath(signature.digest)

const fetchFrom = (host: string, totalMs?: number, signal = new AbortController().signal) =>
  createRegistry({
    isInsecure: async () => true,
    certsDirectory: '/nowhere',
    totalMs,
  }).fetchSignatures(parseImageRef(`${host}/atlas/box:1`), DIGEST, signal)

const fetchAnswers = async (answers: Answers, totalMs?: number) =>
  fetchFrom((await startRegistry({ ...sound, ...answers })).host, totalMs)

/** Writes for as long as the other side reads. */
function endless(response: ServerResponse): void {
  const chunk = Buffer.alloc(64 * 1024, ' ')
  const write = () => {
    while (!response.destroyed && response.write(chunk));
  }
  response.on('drain', write)
  write()
}

/** A byte now and then. */
function drip(response: ServerResponse): void {
  const timer = setInterval(() => response.write(' '), 5)
  response.on('close', () => clearInterval(timer))
}

/** Speaks to whoever connects, by no protocol. */
async function startSocket(speak: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => undefined))
    speak(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    sockets.forEach((socket) => socket.destroy())
    server.close()
  })
  return `127.0.0.1:${(server.address() as { port: number }).port}`
}

describe('a manifest', () => {
  it('without an end is read to its bound', async () => {
    await expect(fetchAnswers({ [MANIFEST]: endless })).rejects.toMatchObject({
      code: 'HW_PULL_FAILED',
      message: expect.stringContaining('4194304 bytes') as string,
    })
  })

  it('that says it is huge is not read', async () => {
    const huge = (response: ServerResponse) =>
      void response.writeHead(200, { 'content-length': String(MAX_MANIFEST_BYTES + 1) }).write(' ')
    await expect(fetchAnswers({ [MANIFEST]: huge })).rejects.toMatchObject({
      code: 'HW_PULL_FAILED',
    })
  })

  it('that comes byte by byte is waited for no longer than anything else', async () => {
    await expect(fetchAnswers({ [MANIFEST]: drip }, 200)).rejects.toMatchObject({
      code: 'HW_REGISTRY_DOWN',
      message: expect.stringContaining('not done in 0.2 s') as string,
    })
  })

  it('shorter than it says is no manifest', async () => {
    const short = (response: ServerResponse) => {
      response.writeHead(200, { 'content-length': '5000' }).write('{"layers":[]}')
      setImmediate(() => response.destroy())
    }
    await expect(fetchAnswers({ [MANIFEST]: short })).rejects.toMatchObject({
      code: 'HW_REGISTRY_DOWN',
    })
  })

  it('longer than it says is cut there', async () => {
    const host = await startSocket((socket) => {
      socket.once('data', () => {
        socket.end('HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"layers":[]}{"layers":[5]}')
      })
    })
    expect(await fetchFrom(host)).toEqual([])
  })

  it('that is packed is not unpacked', async () => {
    const bomb = gzipSync(Buffer.alloc(50_000_000, ' '))
    const packed = send(bomb, 200, { 'content-encoding': 'gzip' })
    expect(await fetchAnswers({ [MANIFEST]: packed })).toEqual([])
  })

  it('with 10,000 signatures costs no more requests than the most that are looked at', async () => {
    const many = Array.from({ length: 10_000 }, (_, index) =>
      index < 100 ? signPayload(Buffer.from(`{"x":${index}}`), privateKey) : signature,
    )
    const registry = await startRegistry(answersOf(many))
    expect(await fetchFrom(registry.host)).toEqual(many.slice(0, MAX_SIGNATURES))
    expect(registry.asked).toHaveLength(1 + MAX_SIGNATURES)
  })

  it('that points at other hosts and files points nowhere', async () => {
    const manifest = signatureManifest([signature])
    const layers = ['../../../secret', 'http://127.0.0.1:1/x', `${signature.digest}?x=1`].map(
      (digest) => ({ ...manifest.layers[0], digest }),
    )
    const registry = await startRegistry({
      [MANIFEST]: send(JSON.stringify({ ...manifest, layers })),
    })
    expect(await fetchFrom(registry.host)).toEqual([])
    expect(registry.lines()).toEqual([`GET ${MANIFEST}`])
  })
})

describe('a payload', () => {
  it('without an end leaves its signature out', async () => {
    expect(await fetchAnswers({ [blob]: endless })).toEqual([])
  })

  it('that comes byte by byte is waited for no longer than anything else', async () => {
    await expect(fetchAnswers({ [blob]: drip }, 200)).rejects.toMatchObject({
      code: 'HW_REGISTRY_DOWN',
    })
  })

  it('that fails is the end of all, and no connection is left', async () => {
    const other = signPayload(Buffer.from('{}'), privateKey)
    let open = 0
    const held = (response: ServerResponse) => {
      open++
      response.on('close', () => open--)
      drip(response)
    }
    const fails = async (response: ServerResponse) => {
      await eventually(() => open === 1)
      response.writeHead(500).end()
    }
    const answers = answersOf([signature, other])
    const fetched = fetchAnswers({
      ...answers,
      [blob]: held,
      [blobPath(other.digest)]: (response) => void fails(response),
    })
    await expect(fetched).rejects.toMatchObject({ code: 'HW_PULL_FAILED' })
    await eventually(() => open === 0)
  })

  it('may come from two other hosts, and no third one is asked', async () => {
    const payloads = [1, 2, 3].map((x) => signPayload(Buffer.from(`{"x":${x}}`), privateKey))
    const stores = await Promise.all(
      payloads.map(({ payload }) => startRegistry({ '/blob': send(payload) })),
    )
    const answersFrom = (hosts: readonly string[]): Answers => ({
      ...answersOf(payloads),
      ...Object.fromEntries(
        payloads.map(({ digest }, index) => [
          blobPath(digest),
          redirect(`http://${hosts[index] ?? ''}/blob`),
        ]),
      ),
    })
    const [first, second, third] = stores.map(({ host }) => host) as [string, string, string]
    await expect(fetchAnswers(answersFrom([first, second, third]))).rejects.toMatchObject({
      code: 'HW_PULL_FAILED',
      message: expect.stringContaining('sends to more than 2 other hosts') as string,
    })
    expect(stores.filter(({ asked }) => asked.length > 0).length).toBeLessThanOrEqual(2)
    expect(await fetchAnswers(answersFrom([first, second, first]))).toHaveLength(3)
  })

  it('and the server of tokens come from two other hosts together', async () => {
    const tokens = await startRegistry({ '/token': send('{"token":"anybody"}') })
    const stores = await Promise.all(
      [1, 2].map(() => startRegistry({ '/blob': send(signature.payload) })),
    )
    const other = signPayload(Buffer.from('{}'), privateKey)
    const challenge = { 'www-authenticate': `Bearer realm="http://${tokens.host}/token"` }
    const answers = answersOf([signature, other])
    const registry = await startRegistry({
      ...answers,
      [MANIFEST]: (response, request) =>
        request.headers.authorization === undefined
          ? send('', 401, challenge)(response)
          : answers[MANIFEST]?.(response, request),
      [blob]: redirect(`http://${stores[0]?.host ?? ''}/blob`),
      [blobPath(other.digest)]: redirect(`http://${stores[1]?.host ?? ''}/blob`),
    })
    await expect(fetchFrom(registry.host)).rejects.toMatchObject({ code: 'HW_PULL_FAILED' })
    expect(tokens.asked).toHaveLength(1)
  })

  it('that is redirected in a circle is given up', async () => {
    const circle = redirect(blob)
    await expect(fetchAnswers({ [blob]: circle })).rejects.toMatchObject({ code: 'HW_PULL_FAILED' })
  })
})

describe('a connection', () => {
  it.each<[string, (socket: Socket) => void]>([
    ['that says nothing', () => undefined],
    [
      'whose header has no end',
      (socket) => {
        socket.once('data', (first) => {
          if (first[0] === 0x16) return void socket.destroy() // TLS
          socket.write('HTTP/1.1 200 OK\r\n')
          const timer = setInterval(() => socket.write('x: y\r\n'), 5)
          socket.on('close', () => clearInterval(timer))
        })
      },
    ],
    [
      'whose header is huge',
      (socket) => {
        socket.once('data', (first) => {
          if (first[0] === 0x16) return void socket.destroy()
          socket.write(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(1_000_000)}`)
        })
      },
    ],
    ['that ends at once', (socket) => void socket.destroy()],
  ])('%s is a registry that is down', async (_name, speak) => {
    await expect(fetchFrom(await startSocket(speak), 200)).rejects.toMatchObject({
      code: 'HW_REGISTRY_DOWN',
    })
  })

  it('that is left is not called a registry that is down', async () => {
    const abort = new AbortController()
    const host = await startSocket(() => abort.abort(new Error('left')))
    const url = new URL(`http://${host}/`)
    const request = { url, headers: {}, trust: undefined, maxBytes: 1, signal: abort.signal }
    await expect(exchange(request)).rejects.toThrow(/^left$/)
    await expect(exchange(request)).rejects.toThrow(/^left$/)
  })

  it('is left when nobody waits any more', async () => {
    let isClosed = false
    const abort = new AbortController()
    const host = await startSocket((socket) => {
      socket.on('close', () => (isClosed = true))
      abort.abort(new Error('the run has ended'))
    })
    await expect(fetchFrom(host, 60_000, abort.signal)).rejects.toThrow('the run has ended')
    await eventually(() => isClosed)
  })
})
