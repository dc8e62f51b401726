// The doctor's checks of the accounting: the aggregator takes this node's credential and records, both clocks agree, and no record
// waits for an administrator.
import { skewOf, skewText, TOLERATED_SKEW_MS } from '../accounting/clock-watch.js'
import { HepwrapError, REASONS, type ReasonCode } from '../base/errors.js'
import { expectOk } from '../upstream/refusal.js'
import type { Daemon } from './compose.js'
import type { Check } from './doctor-check.js'

export const ACCOUNTING_CHECKS: readonly Check[] = [
  { name: 'aggregator', mend: mendOf, examine: examineAggregator },
  { name: 'records', mend: mendOf, examine: examineRecords },
]

const MOST_MS = 5000
const DAY_MS = 24 * 3_600_000
/** For so long a loss is somebody's to mend; later it is history, and still told. */
const DROPPED_LATELY_MS = 7 * DAY_MS

function mendOf(code: ReasonCode): string {
  return code === 'HW_AGGREGATOR_DOWN' || code === 'HW_AGGREGATOR_REPLY'
    ? 'start hepwrap-aggregator, or correct [accounting] aggregator'
    : REASONS[code].mend
}

/** An empty batch of this node's: whoever takes it would take records. */
async function examineAggregator({ config, bookkeeping, ledger, clock }: Daemon): Promise<string> {
  const { aggregator } = bookkeeping
  if (aggregator === undefined) return "none configured: records stay in this node's ledger"
  const { cluster, name: node } = config.node
  const query = new URLSearchParams({
    cluster,
    node,
    ledger: ledger.outbox.ledgerId(),
    after: '0',
    upto: '0',
    sent_at_ms: String(clock.nowMs()),
  })
  const path = `/v1/records?${query.toString()}`
  const contentType = 'application/x-ndjson'
  const signal = AbortSignal.timeout(2 * MOST_MS)
  const reply = await expectOk(
    await aggregator.request({ method: 'POST', path, contentType, timeoutMs: MOST_MS, signal }),
  )
  await reply.text()
  const skewMs = skewOf(reply.headers.date, clock) ?? 0
  if (Math.abs(skewMs) > TOLERATED_SKEW_MS)
    throw new HepwrapError('HW_CLOCK_SKEW', skewText(skewMs))
  return `${aggregator.url} takes the records of ${cluster}/${node}; the clocks agree`
}

async function examineRecords({ ledger, bookkeeping, clock }: Daemon): Promise<string> {
  const { outbox, retention } = ledger
  const { count, lastAt } = retention.dropped()
  if (lastAt !== undefined && clock.nowMs() - Date.parse(lastAt) < DROPPED_LATELY_MS)
    throw new HepwrapError(
      'HW_RECORDS_DROPPED',
      `${count} records left the full ledger before the aggregator had them, the last at ${lastAt}`,
    )
  const [aside] = outbox.listSetAside(1)
  if (aside !== undefined)
    throw new HepwrapError(
      'HW_RECORDS_SET_ASIDE',
      `${outbox.countSetAside()} records are refused by the aggregator, the newest is ${aside.id}: ${aside.said}`,
    )
  const past = count > 0 ? `; ${count} were dropped unsent, ever` : ''
  if (bookkeeping.aggregator === undefined) return `kept here alone${past}`
  const { count: unsent, oldestSince } = outbox.unsent()
  return unsent === 0
    ? `all at the aggregator${past}`
    : `${unsent} are not yet at the aggregator, the oldest since ${oldestSince ?? 'now'}${past}`
}
