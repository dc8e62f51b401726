// Keeps the ledger within its bounds, a page at a time between other things: by age what is sent and ended, by size the oldest
// first, and what is not sent only where nothing else is left, each of them counted for good and told of.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { rfc3339, type Clock } from '../base/clock.js'
import type { Logger } from '../base/log.js'
import type { Ledger } from './ledger.js'
import type { RemovalPage } from './retention.js'

export interface KeeperParts {
  readonly ledger: Pick<Ledger, 'retention'>
  readonly keepDays: number
  readonly maxBytes: number
  /** There is an aggregator: what it does not have is kept longer. */
  readonly isSentOn: boolean
  readonly clock: Clock
  readonly log: Logger
}

const DAY_MS = 24 * 3_600_000
/** Of the dropped ones so many are named in a log line; the count is exact. */
const NAMED = 5

/** One look; resolves when the ledger is within its bounds, or cannot be. Throws what the ledger throws. */
export async function keepWithinBounds(parts: KeeperParts): Promise<void> {
  const { clock, keepDays, log } = parts
  // A clock that is not yet set must not make everything old: the records themselves say what day it is at least.
  const newestAt = parts.ledger.retention.newestAt()
  const latestMs = newestAt === undefined ? 0 : Date.parse(newestAt) + DAY_MS
  const endedBefore = rfc3339(Math.min(clock.nowMs(), latestMs) - keepDays * DAY_MS)
  const expired = await removeWhile(parts, { endedBefore }, ({ removed }) => removed > 0)
  const isTooLarge = () => parts.ledger.retention.usedBytes() > parts.maxBytes
  const early = isTooLarge() ? await removeWhile(parts, {}, isTooLarge) : 0
  if (expired + early > 0)
    log.info({ expired, early }, 'records that are sent and old have left the ledger')
  if (isTooLarge()) await dropWhile(isTooLarge, parts)
}

/** In the order of their last changes, which is nearly that of their ends: a page without any ends the search by age. */
async function removeWhile(
  { ledger, isSentOn }: KeeperParts,
  bounds: Pick<RemovalPage, 'endedBefore'>,
  isOn: (last: { readonly removed: number }) => boolean,
): Promise<number> {
  let total = 0
  for (let after: number | undefined = 0; after !== undefined;) {
    const page = ledger.retention.removeSent({ after, isAllSent: !isSentOn, ...bounds })
    total += page.removed
    after = isOn(page) ? page.next : undefined
    await nextTurn()
  }
  return total
}

async function dropWhile(
  isTooLarge: () => boolean,
  { ledger, clock, log }: KeeperParts,
): Promise<void> {
  const dropped: string[] = []
  while (isTooLarge()) {
    const ids = ledger.retention.dropUnsent(rfc3339(clock.nowMs()))
    if (ids.length === 0) break // only runs that go on
    dropped.push(...ids)
    await nextTurn()
  }
  if (dropped.length > 0)
    log.error(
      {
        dropped: dropped.length,
        ever: ledger.retention.dropped().count,
        first: dropped.slice(0, NAMED),
      },
      'the ledger is full: its oldest records were dropped before the aggregator had them',
    )
}
