// One request over HTTP and its answer, bounded in bytes and ended by its signal. The other side may be hostile.
// node:http and not fetch: Node's fetch takes neither a CA of ours nor leave to be lenient with one host, follows
// redirects across hosts, and unpacks what is compressed, whatever its size.
import { request as requestHttp, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { request as requestHttps } from 'node:https'
import type { SecureContext } from 'node:tls'
import { HepwrapError, quote } from '../base/errors.js'
import { VERSION } from '../base/version.js'

/** How to know the other side of a TLS connection. */
export interface Trust {
  readonly secureContext: SecureContext
  readonly rejectUnauthorized: boolean
}

export interface Request {
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  /** Of https only. */
  readonly trust: Trust | undefined
  readonly maxBytes: number
  readonly signal: AbortSignal
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** Of status 200 only; undefined if there is more of it than maxBytes. */
  readonly body: Buffer | undefined
}

/** Asks once. Throws HW_REGISTRY_DOWN without a whole answer, and the signal's reason where that came first. */
export async function exchange(request: Request): Promise<Answer> {
  const { url, signal } = request
  signal.throwIfAborted()
  try {
    const response = await send(request)
    try {
      const { statusCode: status = 0, headers } = response
      const body = status === 200 ? await readBody(response, request.maxBytes) : Buffer.alloc(0)
      return { status, headers, body }
    } finally {
      response.destroy()
    }
  } catch (error) {
    signal.throwIfAborted()
    throw unreachable(url.host, reasonOf(error), error)
  }
}

export const unreachable = (host: string, reason: string, cause?: unknown) =>
  new HepwrapError('HW_REGISTRY_DOWN', `the registry ${quote(host)} does not answer: ${reason}`, {
    cause,
  })

function send({ url, headers, trust, signal }: Request): Promise<IncomingMessage> {
  const options = {
    agent: false,
    headers: { 'user-agent': `hepwrapd/${VERSION}`, 'accept-encoding': 'identity', ...headers },
    signal,
  } as const
  return new Promise((resolve, reject) => {
    const sent =
      url.protocol === 'https:'
        ? requestHttps(url, { ...options, ...trust }, resolve)
        : requestHttp(url, options, resolve)
    sent.on('error', reject)
    sent.end()
  })
}

async function readBody(response: IncomingMessage, maxBytes: number): Promise<Buffer | undefined> {
  if (Number(response.headers['content-length'] ?? 0) > maxBytes) return undefined
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > maxBytes) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

// Several addresses that all refuse come as an AggregateError, whose own message is empty.
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return reasonOf(error.errors[0])
  return quote(error instanceof Error ? error.message : String(error))
}
