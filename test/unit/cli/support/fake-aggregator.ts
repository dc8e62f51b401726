// The aggregator's seam, real down to the socket: an HTTP server that the test answers for, and a token to ask it with.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'

export type Answer = (url: URL, reply: ServerResponse, request: IncomingMessage) => unknown

export interface FakeAggregator {
  readonly url: string
  /** What a client needs to find it. */
  readonly env: Readonly<Record<string, string>>
  /** "GET /v1/records?user=alice", in the order they came. */
  readonly asked: readonly string[]
  readonly directory: string
  stop(): Promise<void>
}

// Not /tmp: a token does not lie where others may write.
const CACHE = join(import.meta.dirname, '../../../../.cache')

export const TOKEN = 'a-token-of-the-tests-own'

export async function startFakeAggregator(answer: Answer): Promise<FakeAggregator> {
  mkdirSync(CACHE, { recursive: true })
  const directory = mkdtempSync(join(CACHE, 'fake-aggregator-'))
  const tokenFile = join(directory, 'token')
  writeFileSync(tokenFile, `${TOKEN}\n`, { mode: 0o600 })
  const asked: string[] = []
  const server = createServer((request, reply) => {
    asked.push(`${String(request.method)} ${decodeURIComponent(String(request.url))}`)
    if (request.headers.authorization !== `Bearer ${TOKEN}`) {
      sendJson(reply, { error: { code: 'HW_CREDENTIAL_INVALID', message: 'no' } }, 401)
    } else answer(new URL(String(request.url), 'http://fake'), reply, request)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    url,
    env: { HEPWRAP_AGGREGATOR: url, HEPWRAP_TOKEN_FILE: tokenFile, TZ: 'UTC' },
    asked,
    directory,
    stop: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

export const sendJson = (reply: ServerResponse, value: unknown, status = 200): unknown =>
  reply.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))

export const sendLines = (reply: ServerResponse, values: readonly unknown[]): unknown =>
  reply
    .writeHead(200, { 'content-type': 'application/x-ndjson' })
    .end(values.map((value) => `${JSON.stringify(value)}\n`).join(''))
