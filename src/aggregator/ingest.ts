// One batch from its request to the disk: who may send it, room for it, its bytes, its records, the store, and what is worth a
// line in the log.
import type { IncomingMessage } from 'node:http'
import { HepwrapError } from '../base/errors.js'
import type { Batch, BatchOutcome, LedgerRange } from '../store/store.js'
import type { Vouched } from '../trust/verify.js'
import { BatchQuery, MAX_BATCH_BYTES, type BatchReply } from '../wire/ingest-api.js'
import { parseBatch, type Origin } from './batch.js'
import { announcedLength, readBody, unpacked } from './body.js'
import type { Aggregator } from './compose.js'
import type { Party } from './party.js'
import { checkedQuery } from './query.js'

export interface BatchRequest {
  readonly raw: IncomingMessage
  readonly query: unknown
  readonly vouched: Vouched
  readonly party: Party
}

type Applied = Extract<BatchOutcome, { kind: 'applied' }>

/** Resolves when the batch is durable; `gap`: what the ledger has of it until now. */
export async function ingestBatch(
  request: BatchRequest,
  aggregator: Aggregator,
): Promise<BatchReply | { readonly gap: number }> {
  const { party, raw } = request
  const query = checkedQuery(BatchQuery, request.query, 'HW_REQUEST_INVALID')
  const range = rangeOf(query)
  const origin = originOf(query)
  await party.mayWriteFor(origin)
  const length = announcedLength(raw, MAX_BATCH_BYTES)
  const giveBack = aggregator.arriving.take(length, party.label)
  if (giveBack === undefined)
    throw new HepwrapError(
      'HW_AGGREGATOR_BUSY',
      'as many bodies are on their way as there is room for',
    )
  try {
    const body = await readBody(raw, length)
    request.vouched.checkBody(body)
    return await store({ ...request, range, origin, body }, query, aggregator)
  } finally {
    giveBack()
  }
}

interface ReadBatch extends BatchRequest {
  readonly range: LedgerRange | undefined
  readonly origin: Origin | undefined
  readonly body: Buffer
}

const OPEN_WAIT_MS = 20_000
/** What records take in memory, by their text. */
const PARSED_BY_TEXT = 3

async function store(
  { body, range, origin, raw, party }: ReadBatch,
  query: BatchQuery,
  aggregator: Aggregator,
): Promise<BatchReply | { readonly gap: number }> {
  const { clock, metrics } = aggregator
  const beganMs = clock.monotonicMs()
  const room = await aggregator.open.reserve(MAX_BATCH_BYTES, OPEN_WAIT_MS)
  try {
    const text = await unpacked(body, raw.headers['content-encoding'], MAX_BATCH_BYTES)
    room.shrinkTo(Math.min(MAX_BATCH_BYTES, text.length * PARSED_BY_TEXT))
    const records = await parseBatch(text, origin, range)
    const [first] = records
    if (origin === undefined && first !== undefined) await party.mayWriteFor(first.record)
    const receivedAtMs = clock.nowMs()
    noteSkew(query, receivedAtMs, party, aggregator)
    const batch = { range, records, receivedAtMs }
    const outcome = await aggregator.commits.ingest(batch)
    metrics.ingestSeconds.observe((clock.monotonicMs() - beganMs) / 1000)
    if (outcome.kind === 'gap') return gap(batch, outcome.acked, aggregator)
    return applied(batch, outcome, party, aggregator)
  } finally {
    room.release()
  }
}

function rangeOf(query: BatchQuery): LedgerRange | undefined {
  const { cluster, node, ledger, after, upto } = query
  if (ledger === undefined && after === undefined && upto === undefined) return undefined
  if (cluster === undefined || node === undefined || ledger === undefined) throw incomplete()
  if (after === undefined || upto === undefined) throw incomplete()
  if (after > upto)
    throw new HepwrapError('HW_REQUEST_INVALID', `after ${after} is behind upto ${upto}`)
  return { cluster, node, ledger, after, upto }
}

const incomplete = () =>
  new HepwrapError(
    'HW_REQUEST_INVALID',
    'a batch of a ledger names all of cluster, node, ledger, after and upto',
  )

function originOf({ cluster, node }: BatchQuery): Origin | undefined {
  if (cluster === undefined && node === undefined) return undefined
  if (cluster !== undefined && node !== undefined) return { cluster, node }
  throw new HepwrapError('HW_REQUEST_INVALID', 'cluster and node are named together, or neither')
}

function gap(batch: Batch, acked: number, { log, metrics }: Aggregator) {
  metrics.batches.inc({ outcome: 'gap' })
  log.warn({ ...placeOf(batch), acked }, 'a gap before this batch: the node sends again from acked')
  return { gap: acked }
}

function applied(batch: Batch, outcome: Applied, party: Party, aggregator: Aggregator): BatchReply {
  const { log, metrics } = aggregator
  const { inserted, changed, corrected, foreign } = outcome
  const duplicates = outcome.duplicates + foreign
  const isKnown = batch.records.length > 0 && inserted + changed === 0
  metrics.batches.inc({ outcome: isKnown ? 'duplicate' : 'applied' })
  metrics.records.inc({ outcome: 'inserted' }, inserted)
  metrics.records.inc({ outcome: 'changed' }, changed - corrected)
  metrics.records.inc({ outcome: 'corrected' }, corrected)
  metrics.records.inc({ outcome: 'duplicate' }, outcome.duplicates)
  const of = { ...placeOf(batch), by: party.label }
  if (isKnown) log.info({ ...of, duplicates }, 'a batch that was known already')
  if (corrected > 0) log.info({ ...of, corrected }, 'records that had ended were corrected')
  if (foreign > 0) {
    metrics.records.inc({ outcome: 'foreign' }, foreign)
    log.error({ ...of, foreign }, 'records with ids of another node’s records: left as they were')
  }
  sayRemarks(outcome.remarks, of, aggregator)
  return { inserted, changed, duplicates, acked: outcome.acked ?? null }
}

function sayRemarks(
  remarks: Applied['remarks'],
  of: ReturnType<typeof placeOf> & { readonly by: string },
  { log, isTimeFor }: Aggregator,
): void {
  for (const { kind, previous } of remarks) {
    if (kind === 'first-ledger') log.info(of, 'a new node')
    else if (kind === 'new-ledger')
      log.warn({ ...of, previous }, 'the node has a new ledger: it was installed anew')
    else if (isTimeFor(`two ledgers ${of.ledger ?? ''} ${previous ?? ''}`))
      log.error({ ...of, previous }, 'two ledgers send in the name of one node')
  }
}

function placeOf({ range, records }: Batch) {
  const [first] = records
  const { cluster, node } = range ?? first?.record ?? {}
  return { cluster, node, ledger: range?.ledger, after: range?.after, upto: range?.upto }
}

const SKEW_WORTH_A_LINE_MS = 60_000

function noteSkew(query: BatchQuery, nowMs: number, party: Party, aggregator: Aggregator): void {
  const { sent_at_ms: sentAtMs } = query
  if (sentAtMs === undefined) return
  const skewMs = sentAtMs - nowMs
  aggregator.metrics.clockSkewSeconds.observe(Math.abs(skewMs) / 1000)
  if (
    Math.abs(skewMs) <= SKEW_WORTH_A_LINE_MS ||
    !aggregator.isTimeFor(`clock of ${party.label} ${query.node ?? ''}`)
  )
    return
  const { cluster, node } = query
  aggregator.log.warn(
    { cluster, node, skew_s: Math.round(skewMs / 1000) },
    `the clock of the node is ${skewMs > 0 ? 'ahead of' : 'behind'} ours`,
  )
}
