// What the verbs ask of the aggregator. The way to it, with its credentials, is loaded only where there is something to ask.
import type { IncomingMessage } from 'node:http'
import { HepwrapError } from '../base/errors.js'
import type { Upstream, UpstreamReply, UpstreamRequest } from '../upstream/upstream.js'
import type { OptionSpec } from './options.js'
import type { VerbLine } from './verb-line.js'

export const AGGREGATOR_OPTIONS: readonly OptionSpec[] = [
  { name: 'aggregator', takesValue: true },
  { name: 'token-file', takesValue: true },
  { name: 'ca-file', takesValue: true },
]

export interface Aggregator {
  readonly url: string
  /** The reply's JSON. */
  ask<Reply>(method: 'GET' | 'POST', path: string): Promise<Reply>
  /** The lines of a reply, as they come; throws where it breaks off. */
  lines(path: string): AsyncGenerator<string>
}

/** Undefined: none is configured. */
export async function findAggregator(line: VerbLine): Promise<Aggregator | undefined> {
  const { chooseAggregator } = await import('./configured-aggregator.js')
  const choice = chooseAggregator(line)
  if (choice === undefined) return undefined
  const { openUpstream } = await import('../upstream/upstream.js')
  return speakTo(openUpstream(choice))
}

/** For verbs that no ledger can answer. */
export async function needAggregator(line: VerbLine): Promise<Aggregator> {
  const aggregator = await findAggregator(line)
  if (aggregator !== undefined) return aggregator
  throw new HepwrapError(
    'HW_USAGE',
    'no aggregator is configured: name one by --aggregator URL, HEPWRAP_AGGREGATOR or [accounting] aggregator',
  )
}

// A summary over years may take its time; a stream that stalls for this long is dead.
const PATIENCE_MS = 120_000
const MAX_JSON_BYTES = 256 * 1024 * 1024

function speakTo(upstream: Upstream): Aggregator {
  const send = async (asked: Omit<UpstreamRequest, 'timeoutMs'>): Promise<UpstreamReply> => {
    const reply = await upstream.request({ ...asked, timeoutMs: PATIENCE_MS })
    const { expectOk } = await import('../upstream/refusal.js')
    return expectOk(reply)
  }
  return {
    url: upstream.url,
    ask: async <Reply>(method: 'GET' | 'POST', path: string) => {
      const reply = await send({ method, path })
      const text = await reply.text(MAX_JSON_BYTES)
      upstream.close()
      return parseReply(text, path) as Reply
    },
    lines: async function* (path) {
      const { body } = await send({ method: 'GET', path })
      body.setTimeout(0) // the reader may be slower than any limit
      yield* readLines(body, upstream)
      upstream.close()
    },
  }
}

function parseReply(text: string, path: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new HepwrapError('HW_AGGREGATOR_REPLY', `the aggregator's reply to ${path} is not JSON`)
  }
}

async function* readLines(body: IncomingMessage, upstream: Upstream): AsyncGenerator<string> {
  let partial = ''
  const pieces = body.setEncoding('utf8')[Symbol.asyncIterator]() as AsyncIterator<string>
  try {
    for (;;) {
      const next = await inTime(body, () => pieces.next())
      if (next.done === true) break
      const lines = (partial + next.value).split('\n')
      partial = lines.pop() ?? ''
      yield* lines
    }
  } catch (error) {
    throw brokenOff(upstream, error)
  }
  if (!body.complete || partial !== '') throw brokenOff(upstream, undefined)
}

/** Only while we wait for it does its silence count. */
async function inTime<T>(body: IncomingMessage, wait: () => Promise<T>): Promise<T> {
  const timer = setTimeout(() => body.destroy(), PATIENCE_MS)
  try {
    return await wait()
  } finally {
    clearTimeout(timer)
  }
}

const brokenOff = ({ url }: Upstream, cause: unknown) =>
  new HepwrapError('HW_AGGREGATOR_DOWN', `the aggregator ${url} broke off its reply`, { cause })
