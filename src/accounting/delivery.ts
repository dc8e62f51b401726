// One attempt to bring the ledger's next changes, and the node's facts before them, to the aggregator.
import type { Clock } from '../base/clock.js'
import type { Logger } from '../base/log.js'
import { isOk, refusalOf } from '../upstream/refusal.js'
import type { Upstream, UpstreamReply } from '../upstream/upstream.js'
import { nextBatch, type LedgerBatch } from './batch.js'
import { createFollowUp } from './follow-up.js'
import type { Ledger } from './ledger.js'
import { judgeReply, outcomeOfStatus, type Verdict } from './verdict.js'

export interface DeliveryParts {
  readonly ledger: Pick<Ledger, 'outbox' | 'nodeFacts'>
  readonly upstream: Pick<Upstream, 'request'>
  readonly cluster: string
  readonly node: string
  readonly clock: Clock
  readonly log: Logger
  readonly onReply?: (outcome: ReplyOutcome, reply: UpstreamReply) => void
}

/** For the metrics. */
export type ReplyOutcome = 'sent' | 'gap' | 'malformed' | 'refused' | 'busy'

export interface Patience {
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

export type Step =
  | { readonly kind: 'idle' }
  /** `isMore`: go on at once. */
  | { readonly kind: 'progress'; readonly sent: number; readonly isMore: boolean }
  | Extract<Verdict, { kind: 'fault' }>

/** An aggregator that has lost what it had says so only when it is asked; and it wants to know who is there. */
const SILENT_MS = 3_600_000
const IDLE: Step = { kind: 'idle' }

/** Throws what upstream and ledger throw. */
export function createDelivery(parts: DeliveryParts): (patience: Patience) => Promise<Step> {
  const { clock } = parts
  const { outbox } = parts.ledger
  const post = createPost(parts)
  const sendFacts = createFactsDelivery(parts)
  const follow = createFollowUp(parts, post)
  /** Nothing to send up to here. */
  let emptyUpto = -1
  let isAcquainted = false
  let postedAtMs = 0
  const postNow: Post = (batch, patience) => {
    postedAtMs = clock.monotonicMs()
    return post(batch, patience)
  }

  // Before this life's first changes go out: afterwards nothing tells a ledger that was put back from a copy.
  const introduce = async (patience: Patience): Promise<Step | undefined> => {
    const nothing = { after: 0, upto: 0, body: '' }
    const verdict = await postNow(nothing, patience)
    isAcquainted = verdict.kind === 'taken' || verdict.kind === 'ahead'
    if (verdict.kind === 'taken') return undefined
    return follow.on(verdict, { ...nothing, records: [], isFull: false }, patience)
  }

  return async (patience) => {
    const refusal = isAcquainted ? undefined : await introduce(patience)
    if (refusal !== undefined) return refusal
    const factsFault = await sendFacts(patience)
    if (factsFault !== undefined) return factsFault
    if (outbox.lastChange() !== emptyUpto) {
      const batch = await nextBatch(outbox, follow.rows())
      emptyUpto = batch.records.length === 0 ? batch.upto : -1
      if (batch.records.length > 0)
        return follow.on(await postNow(batch, patience), batch, patience)
    }
    if (clock.monotonicMs() - postedAtMs < SILENT_MS) return IDLE
    const upto = outbox.acked()
    const nothing = { after: upto, upto, body: '', records: [], isFull: false }
    emptyUpto = -1
    return follow.on(await postNow(nothing, patience), nothing, patience)
  }
}

/** Sends it, and says what the aggregator makes of it. */
export type Post = (
  batch: Pick<LedgerBatch, 'after' | 'upto' | 'body'>,
  patience: Patience,
) => Promise<Verdict>

function createPost({ ledger, upstream, cluster, node, clock, onReply }: DeliveryParts): Post {
  const { outbox } = ledger
  return async ({ after, upto, body }, patience) => {
    outbox.noteSending(upto)
    const query = new URLSearchParams({
      cluster,
      node,
      ledger: outbox.ledgerId(),
      after: String(after),
      upto: String(upto),
      sent_at_ms: String(clock.nowMs()),
    })
    const reply = await upstream.request({
      method: 'POST',
      path: `/v1/records?${query.toString()}`,
      body,
      contentType: 'application/x-ndjson',
      gzip: true,
      ...patience,
    })
    const verdict = await judgeReply(reply, { after, upto }, outbox.mostSent())
    onReply?.(outcomeOf(verdict), reply)
    return verdict
  }
}

function outcomeOf(verdict: Verdict): ReplyOutcome {
  switch (verdict.kind) {
    case 'taken':
      return 'sent'
    case 'gap':
    case 'ahead':
      return 'gap'
    case 'malformed':
    case 'too-large':
      return 'malformed'
    case 'fault':
      return verdict.outcome
  }
}

/** What the node is goes before what ran on it. Facts that are refused for their content hold up no records. */
function createFactsDelivery({ ledger, upstream, cluster, node, log }: DeliveryParts) {
  const refused = new Set<string>()
  const path = `/v1/nodes/${encodeURIComponent(cluster)}/${encodeURIComponent(node)}/facts`

  return async (patience: Patience): Promise<Step | undefined> => {
    for (const facts of ledger.nodeFacts.unsent()) {
      if (refused.has(facts.since)) continue
      const body = JSON.stringify(facts)
      const reply = await upstream.request({ method: 'PUT', path, body, ...patience })
      if (isOk(reply)) {
        await reply.text()
        ledger.nodeFacts.markSent(facts.since)
        continue
      }
      const { status, error, retryAfterMs } = await refusalOf(reply)
      const outcome = outcomeOfStatus(status)
      // Records would fare no better; any other refusal is of the facts alone.
      if (outcome === 'busy' || status === 401 || status === 403)
        return { kind: 'fault', outcome, error, retryAfterMs }
      refused.add(facts.since)
      log.error({ code: error.code }, `the node's facts are refused: ${error.message}`)
    }
    return undefined
  }
}
