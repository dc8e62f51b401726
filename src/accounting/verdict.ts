// What the aggregator's reply means for a batch: one word a case, and everything that it says is doubted before it counts.
import { HepwrapError, quote } from '../base/errors.js'
import type { LedgerBatch } from './batch.js'
import { refusalOf } from '../upstream/refusal.js'
import type { UpstreamReply } from '../upstream/upstream.js'

export type Verdict =
  | { readonly kind: 'taken' }
  /** It claims changes that this ledger has never sent. */
  | { readonly kind: 'ahead'; readonly acked: number }
  /** It has less than we thought. */
  | { readonly kind: 'gap'; readonly acked: number }
  | { readonly kind: 'malformed'; readonly error: HepwrapError }
  | { readonly kind: 'too-large'; readonly error: HepwrapError }
  | {
      readonly kind: 'fault'
      readonly outcome: 'refused' | 'busy'
      readonly error: HepwrapError
      readonly retryAfterMs: number | undefined
    }

const MAX_REPLY_BYTES = 64 * 1024

export async function judgeReply(
  reply: UpstreamReply,
  batch: Pick<LedgerBatch, 'after' | 'upto'>,
  mostSent: number,
): Promise<Verdict> {
  if (reply.status === 200) return judgeAcked(await readAcked(reply), batch, mostSent)
  const { status, error, retryAfterMs, acked } = await refusalOf(reply)
  if (error.code === 'HW_BATCH_GAP')
    return acked !== undefined && acked >= 0 && acked < batch.after
      ? { kind: 'gap', acked }
      : nonsense(`it misses what is before ${batch.after}, and has all up to ${acked ?? '?'}`)
  if (status === 400) return { kind: 'malformed', error }
  if (status === 413) return { kind: 'too-large', error }
  return { kind: 'fault', outcome: outcomeOfStatus(status), error, retryAfterMs }
}

/** busy: it may pass by itself. */
export const outcomeOfStatus = (status: number): 'refused' | 'busy' =>
  status === 429 || status >= 500 ? 'busy' : 'refused'

async function readAcked(reply: UpstreamReply): Promise<unknown> {
  const text = await reply.text(MAX_REPLY_BYTES)
  try {
    return (JSON.parse(text) as { acked?: unknown } | null)?.acked
  } catch {
    return text
  }
}

function judgeAcked(
  acked: unknown,
  { upto }: Pick<LedgerBatch, 'upto'>,
  mostSent: number,
): Verdict {
  if (typeof acked !== 'number' || !Number.isSafeInteger(acked) || acked < upto)
    return nonsense(`it has taken the changes up to ${upto}, and says ${said(acked)}`)
  // Between the two it has had a reply that never reached us: what is sent again changes nothing.
  return acked > mostSent ? { kind: 'ahead', acked } : { kind: 'taken' }
}

const said = (value: unknown): string =>
  typeof value === 'string' ? quote(value, 80) : typeof value === 'number' ? `${value}` : 'nothing'

const nonsense = (what: string): Verdict => ({
  kind: 'fault',
  outcome: 'refused',
  error: new HepwrapError('HW_AGGREGATOR_REPLY', `the aggregator's reply makes no sense: ${what}`),
  retryAfterMs: undefined,
})
