// What the aggregator refuses, read from its reply: the reason code, and what a forwarder needs beside it.
import { HepwrapError, isReasonCode, quote } from '../base/errors.js'
import type { UpstreamReply } from './upstream.js'

export interface Refusal {
  readonly status: number
  /** The aggregator's own code and text; HW_AGGREGATOR_REPLY where it was not an aggregator that answered. */
  readonly error: HepwrapError
  /** Retry-After: not before. */
  readonly retryAfterMs: number | undefined
  /** Of HW_BATCH_GAP: what the aggregator has. */
  readonly acked: number | undefined
}

const MAX_RETRY_AFTER_S = 3600

/** Reports whether the reply is what was asked for. */
export const isOk = ({ status }: UpstreamReply): boolean => status >= 200 && status < 300

/** The reply itself if it is what was asked for; throws what it refuses. */
export async function expectOk(reply: UpstreamReply): Promise<UpstreamReply> {
  if (isOk(reply)) return reply
  throw (await refusalOf(reply)).error
}

/** Reads a reply that is not ok to its end. */
export async function refusalOf(reply: UpstreamReply): Promise<Refusal> {
  const { status, headers } = reply
  const text = await reply.text()
  const { error, acked } = parseBody(text)
  return {
    status,
    error: error === undefined ? foreign(status, text) : asError(error),
    retryAfterMs: retryAfter(headers['retry-after']),
    acked: typeof acked === 'number' && Number.isSafeInteger(acked) ? acked : undefined,
  }
}

interface ErrorBody {
  readonly code: string
  readonly message: string
}

function parseBody(text: string): { readonly error?: ErrorBody; readonly acked?: unknown } {
  try {
    const body = JSON.parse(text) as { error?: Partial<ErrorBody>; acked?: unknown } | null
    const { code, message } = body?.error ?? {}
    if (typeof code !== 'string' || typeof message !== 'string') return {}
    return { error: { code, message }, acked: body?.acked }
  } catch {
    return {}
  }
}

const asError = ({ code, message }: ErrorBody): HepwrapError =>
  isReasonCode(code)
    ? new HepwrapError(code, message)
    : new HepwrapError('HW_AGGREGATOR_REPLY', `${message} (${code})`) // of a newer aggregator

// A proxy in front of an aggregator that is down answers in words of its own.
const foreign = (status: number, text: string): HepwrapError =>
  status === 502 || status === 503 || status === 504
    ? new HepwrapError(
        'HW_AGGREGATOR_DOWN',
        `a proxy answered for the aggregator with status ${status}`,
      )
    : new HepwrapError(
        'HW_AGGREGATOR_REPLY',
        `what answered is no aggregator: status ${status}, ${quote(text, 80)}`,
      )

function retryAfter(header: string | undefined): number | undefined {
  if (header === undefined || !/^[0-9]{1,9}$/.test(header)) return undefined
  return Math.min(Number(header), MAX_RETRY_AFTER_S) * 1000
}
