// The aggregator as its clients see it: one signed request, one reply, over HTTP or HTTPS. Used by the forwarder, which keeps
// its connection, and by the command line. What the aggregator refuses is in refusal.ts.
import { readFileSync } from 'node:fs'
import {
  Agent as HttpAgent,
  request as requestHttp,
  type ClientRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
} from 'node:http'
import { Agent as HttpsAgent, request as requestHttps } from 'node:https'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { HepwrapError, quote } from '../base/errors.js'
import { VERSION } from '../base/version.js'
import { openSigner, type Signer } from '../trust/sign.js'

export interface UpstreamOptions {
  /** "https://acct.example:7780". */
  readonly url: string
  readonly auth: 'munge' | 'token'
  /** Of auth = "token": a file that holds the token. */
  readonly tokenFile?: string
  /** PEM; who vouches for the aggregator's certificate. Absent or empty: the CAs that Node knows. */
  readonly caFile?: string
  /** In place of what `auth` says. */
  readonly signer?: Signer
}

export interface UpstreamRequest {
  readonly method: 'GET' | 'POST' | 'PUT'
  /** With its query: "/v1/records?limit=10". */
  readonly path: string
  readonly body?: Uint8Array | string
  readonly contentType?: string
  /** Sends the body compressed. */
  readonly gzip?: boolean
  /** For how long nothing may move: until the reply begins, and between two pieces of it. */
  readonly timeoutMs: number
  readonly signal?: AbortSignal
}

export interface UpstreamReply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** To be read to its end, or destroyed. */
  readonly body: IncomingMessage
  text(maxBytes?: number): Promise<string>
}

export interface Upstream {
  /** For messages. */
  readonly url: string
  /** Any status; throws HW_AGGREGATOR_DOWN where there is no reply, HW_MUNGE_UNAVAILABLE where nothing can be signed. */
  request(request: UpstreamRequest): Promise<UpstreamReply>
  close(): void
}

const KEPT_CONNECTIONS = 4
const MAX_TEXT_BYTES = 1024 * 1024
const compress = promisify(gzip)

/** Throws HW_CONFIG_INVALID for an address, token or CA that cannot do. */
export function openUpstream(options: UpstreamOptions): Upstream {
  const base = parseBase(options)
  const signer = options.signer ?? openSigner(options)
  const agent = agentFor(base, options.caFile ?? '')
  const request = async (asked: UpstreamRequest) => {
    const plain = Buffer.from(asked.body ?? '')
    const body = asked.gzip === true ? await compress(plain) : plain
    return retryStale(async () => {
      const { method, path: target } = asked
      const authorization = await signer.sign({ method, target, body })
      return send({ base, agent, body, authorization, asked })
    })
  }
  return { url: base.origin, request, close: () => agent.destroy() }
}

function parseBase({ url, auth, signer }: UpstreamOptions): URL {
  const base = URL.canParse(url) ? new URL(url) : undefined
  if (base === undefined || !/^https?:$/.test(base.protocol) || base.pathname !== '/')
    throw new HepwrapError(
      'HW_CONFIG_INVALID',
      `the aggregator must be an http:// or https:// address without a path (${quote(url)})`,
    )
  if (
    auth === 'token' &&
    signer === undefined &&
    base.protocol === 'http:' &&
    !isLoopback(base.hostname)
  )
    throw new HepwrapError(
      'HW_CONFIG_INVALID',
      `a token must not go over plain http to another host (${quote(url)}); use https://`,
    )
  return base
}

/** Reports whether what is sent to this name or address stays on the host. */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '[::1]' || host === '::1' || /^127(?:\.\d{1,3}){3}$/.test(host)

function agentFor(base: URL, caFile: string): HttpAgent | HttpsAgent {
  const kept = { keepAlive: true, maxFreeSockets: KEPT_CONNECTIONS }
  if (base.protocol === 'http:') return new HttpAgent(kept)
  return new HttpsAgent({ ...kept, ...(caFile !== '' && { ca: readCa(caFile) }) })
}

function readCa(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new HepwrapError(
      'HW_CONFIG_INVALID',
      `${quote(path)} cannot be read: ${reasonOf(cause)}`,
      {
        cause,
      },
    )
  }
}

interface Sending {
  readonly base: URL
  readonly agent: HttpAgent | HttpsAgent
  readonly body: Uint8Array
  readonly authorization: string
  readonly asked: UpstreamRequest
}

class StaleConnection extends Error {}

// A kept connection that the aggregator has closed meanwhile breaks at its next use; every request of ours may be repeated.
async function retryStale<T>(attempt: () => Promise<T>): Promise<T> {
  try {
    return await attempt()
  } catch (error) {
    if (!(error instanceof StaleConnection)) throw error
    return attempt()
  }
}

function send({ base, agent, body, authorization, asked }: Sending): Promise<UpstreamReply> {
  const { method, path, timeoutMs, signal, contentType = 'application/json' } = asked
  const headers = {
    authorization,
    'user-agent': `hepwrap/${VERSION}`,
    ...(body.length > 0 && { 'content-type': contentType, 'content-length': body.length }),
    ...(asked.gzip === true && { 'content-encoding': 'gzip' }),
  }
  return new Promise((resolve, reject) => {
    const begin = base.protocol === 'https:' ? requestHttps : requestHttp
    // Not new URL(path, base): the target must stay as it was signed.
    const { hostname, port, protocol } = base
    const host = hostname.replace(/^\[|\]$/g, '')
    const sent = begin({ protocol, host, port, path, method, headers, agent, signal })
    watchSilence(sent, timeoutMs)
    sent.on('error', (error: NodeJS.ErrnoException) => {
      if (signal?.aborted === true) reject(signal.reason as Error)
      else if (sent.reusedSocket && /^(?:ECONNRESET|EPIPE)$/.test(error.code ?? ''))
        reject(new StaleConnection())
      else reject(down(base, error))
    })
    sent.on('response', (response) => resolve(replyFrom(response, base)))
    sent.end(body)
  })
}

// A connection that does not come about has no socket time-out yet. A reader who is slow himself has no one to blame.
function watchSilence(sent: ClientRequest, timeoutMs: number): void {
  const silence = () => new Error(`nothing came for ${timeoutMs} ms`)
  const connecting = setTimeout(() => sent.destroy(silence()), timeoutMs)
  let reply: IncomingMessage | undefined
  sent.on('close', () => clearTimeout(connecting))
  sent.on('socket', (socket) => {
    if (socket.connecting) socket.once('connect', () => clearTimeout(connecting))
    else clearTimeout(connecting)
  })
  sent.on('response', (response) => {
    clearTimeout(connecting)
    reply = response
  })
  sent.setTimeout(timeoutMs, () => {
    if (reply === undefined) sent.destroy(silence())
    else if (reply.readableLength === 0) reply.destroy(silence())
    else sent.socket?.setTimeout(timeoutMs)
  })
}

function replyFrom(response: IncomingMessage, base: URL): UpstreamReply {
  response.on('error', () => undefined) // whoever reads the body gets it, too; whoever does not has no use for it
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: response,
    text: (maxBytes = MAX_TEXT_BYTES) => readText(response, maxBytes, base),
  }
}

async function readText(response: IncomingMessage, maxBytes: number, base: URL): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      length += chunk.length
      if (length > maxBytes) throw new Error(`its reply is longer than ${maxBytes} bytes`)
      chunks.push(chunk)
    }
  } catch (error) {
    throw down(base, error)
  }
  return Buffer.concat(chunks).toString('utf8')
}

const down = ({ origin }: URL, cause: unknown) =>
  new HepwrapError(
    'HW_AGGREGATOR_DOWN',
    `the aggregator ${quote(origin)} does not answer: ${reasonOf(cause)}`,
    { cause },
  )

// Several addresses that all refuse come as an AggregateError, whose own message is empty.
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return reasonOf(error.errors[0])
  return quote(error instanceof Error ? error.message : String(error))
}
