// The client of the aggregator against servers that answer well, badly, late and not at all.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { afterEach, describe, expect, it } from 'vitest'
import { HepwrapError } from '../../../src/base/errors.js'
import { expectOk, refusalOf } from '../../../src/upstream/refusal.js'
import { openUpstream, type UpstreamOptions } from '../../../src/upstream/upstream.js'
import { sha256Hex } from '../../../src/trust/request-line.js'
import { selfSigned } from '../../support/self-signed.js'

const servers = new Set<Server>()
const upstreams: { close: () => void }[] = []
const directory = mkdtempSync(join(tmpdir(), 'upstream-'))

afterEach(() => {
  upstreams.splice(0).forEach((upstream) => upstream.close())
  for (const server of servers) {
    server.closeAllConnections()
    server.close()
  }
  servers.clear()
})
afterEach(() => rmSync(join(directory, 'ca'), { force: true }))

type Answer = (request: IncomingMessage, reply: ServerResponse, body: Buffer) => void

async function listen(server: Server): Promise<number> {
  servers.add(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}

const serve = (answer: Answer) =>
  listen(
    createServer((request, reply) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => answer(request, reply, Buffer.concat(chunks)))
    }),
  )

/** Signs with what there is to sign, so that the test sees it. */
const signer = {
  sign: async ({ method, target, body }: { method: string; target: string; body: Uint8Array }) =>
    `Test ${method} ${target} ${sha256Hex(body)}`,
}

function open(url: string, options: Partial<UpstreamOptions> = {}) {
  const upstream = openUpstream({ url, auth: 'token', signer, ...options })
  upstreams.push(upstream)
  return upstream
}

const coded =
  (code: string, message = /./) =>
  (error: unknown) =>
    error instanceof HepwrapError && error.code === code && message.test(error.message)

describe('a request', () => {
  it('is signed as it goes over the wire: target and compressed body', async () => {
    let seen:
      { authorization: string | undefined; url: string | undefined; body: Buffer } | undefined
    const port = await serve(({ headers, url }, reply, body) => {
      seen = { authorization: headers.authorization, url, body }
      reply.end('done')
    })
    const path = '/v1/records?node=n%201&after=0'
    const body = 'a line\n'.repeat(1000)
    const reply = await open(`http://127.0.0.1:${port}`).request({
      method: 'POST',
      path,
      body,
      gzip: true,
      timeoutMs: 5000,
    })
    expect(await reply.text()).toBe('done')
    expect(seen?.url).toBe(path)
    expect(seen?.authorization).toBe(`Test POST ${path} ${sha256Hex(seen!.body)}`)
    expect(gunzipSync(seen!.body).toString()).toBe(body)
  })

  it('keeps its connection, and makes another where that has gone stale', async () => {
    const ports = new Set<number>()
    const port = await serve((request, reply) => {
      ports.add(request.socket.remotePort!)
      reply.end()
    })
    const upstream = open(`http://127.0.0.1:${port}`)
    const ask = async () =>
      (await upstream.request({ method: 'GET', path: '/', timeoutMs: 5000 })).text()
    await ask()
    await ask()
    expect(ports.size).toBe(1)
    for (const server of servers) server.closeAllConnections()
    await ask()
    expect(ports.size).toBe(2)
  })

  it('is given up where nobody listens', async () => {
    const port = await serve(() => undefined)
    for (const server of servers) server.close()
    servers.clear()
    await expect(
      open(`http://127.0.0.1:${port}`).request({ method: 'GET', path: '/', timeoutMs: 5000 }),
    ).rejects.toSatisfy(coded('HW_AGGREGATOR_DOWN', /ECONNREFUSED/))
  })

  it('is given up where nothing is answered', async () => {
    const port = await serve(() => undefined)
    await expect(
      open(`http://127.0.0.1:${port}`).request({ method: 'GET', path: '/', timeoutMs: 50 }),
    ).rejects.toSatisfy(coded('HW_AGGREGATOR_DOWN', /nothing came for 50 ms/))
  })

  it('breaks off where a reply stops in the middle', async () => {
    const port = await serve((_request, reply) => reply.write('half'))
    const reply = await open(`http://127.0.0.1:${port}`).request({
      method: 'GET',
      path: '/',
      timeoutMs: 500,
    })
    await expect(reply.text()).rejects.toSatisfy(
      coded('HW_AGGREGATOR_DOWN', /nothing came for 500 ms/),
    )
  })

  it('is not given up by a reader who is slow himself', async () => {
    const port = await serve((_request, reply) => reply.end('x'.repeat(200_000)))
    const reply = await open(`http://127.0.0.1:${port}`).request({
      method: 'GET',
      path: '/',
      timeoutMs: 300,
    })
    await new Promise((resolve) => setTimeout(resolve, 1500)) // many times the silence allowed
    expect(await reply.text()).toHaveLength(200_000)
  })

  it('ends with the caller’s signal', async () => {
    const port = await serve(() => undefined)
    const controller = new AbortController()
    const asked = open(`http://127.0.0.1:${port}`).request({
      method: 'GET',
      path: '/',
      timeoutMs: 5000,
      signal: controller.signal,
    })
    controller.abort(new Error('enough'))
    await expect(asked).rejects.toThrow('enough')
  })

  it('reads no text without end', async () => {
    const port = await serve((_request, reply) => reply.end('x'.repeat(100)))
    const reply = await open(`http://127.0.0.1:${port}`).request({
      method: 'GET',
      path: '/',
      timeoutMs: 5000,
    })
    await expect(reply.text(10)).rejects.toSatisfy(
      coded('HW_AGGREGATOR_DOWN', /longer than 10 bytes/),
    )
  })
})

describe('TLS', () => {
  it('trusts the CA of the configuration, and nobody else', async () => {
    const { key, cert } = selfSigned()
    const port = await listen(
      createTlsServer({ key, cert }, (_request, reply) => reply.end('secret')),
    )
    const caFile = join(directory, 'ca')
    writeFileSync(caFile, cert)
    const ask = (options: Partial<UpstreamOptions>) =>
      open(`https://localhost:${port}`, options).request({
        method: 'GET',
        path: '/',
        timeoutMs: 5000,
      })
    expect(await (await ask({ caFile })).text()).toBe('secret')
    await expect(ask({})).rejects.toSatisfy(coded('HW_AGGREGATOR_DOWN', /self.signed/))
  })

  it.each(['http://acct.example:7780', 'http://10.0.0.1:7780', 'http://127.0.0.1.evil.net'])(
    'no token goes over plain http to %s',
    (url) => {
      expect(() => openUpstream({ url, auth: 'token', tokenFile: '/nonexistent' })).toThrow(
        /plain http/,
      )
    },
  )

  it.each(['acct.example', 'ftp://acct.example', 'http://acct.example/path', ''])(
    '%j is no address',
    (url) => expect(() => openUpstream({ url, auth: 'munge' })).toThrow(/http:\/\/ or https:\/\//),
  )
})

describe('what is refused', () => {
  const refused = async (status: number, body: string, headers: Record<string, string> = {}) => {
    const port = await serve((_request, reply) => reply.writeHead(status, headers).end(body))
    return open(`http://127.0.0.1:${port}`).request({ method: 'GET', path: '/', timeoutMs: 5000 })
  }

  it('carries the aggregator’s code and text', async () => {
    const body = JSON.stringify({
      error: { code: 'HW_NODE_MISMATCH', message: 'not yours' },
      acked: 7,
    })
    const refusal = await refusalOf(await refused(403, body, { 'retry-after': '3' }))
    expect(refusal).toMatchObject({ status: 403, retryAfterMs: 3000, acked: 7 })
    expect(refusal.error).toMatchObject({ code: 'HW_NODE_MISMATCH', message: 'not yours' })
  })

  it.each([
    [502, '<html>Bad Gateway</html>', 'HW_AGGREGATOR_DOWN'],
    [404, '<html>Not Found</html>', 'HW_AGGREGATOR_REPLY'],
    [500, '{"error":"x"}', 'HW_AGGREGATOR_REPLY'],
    [400, 'null', 'HW_AGGREGATOR_REPLY'],
    [400, '{"error":{"code":"HW_OF_TOMORROW","message":"x"}}', 'HW_AGGREGATOR_REPLY'],
  ])('%s %s: %s', async (status, body, code) => {
    await expect(expectOk(await refused(status, body))).rejects.toSatisfy(coded(code))
  })

  it.each(['soon', '-1', '1e9', 'Fri, 20 Nov 2026 00:00:00 GMT'])(
    'Retry-After %s is nobody’s order',
    async (header) => {
      const refusal = await refusalOf(await refused(503, '', { 'retry-after': header }))
      expect(refusal.retryAfterMs).toBeUndefined()
    },
  )
})
