// Retention: records that ended too long ago go, a few at a time; their sums stay.
import type { Aggregator } from './compose.js'

const DAY_MS = 86_400_000
const FIRST_MS = 60_000
const EVERY_MS = 3_600_000
const AT_ONCE = 1000

/** Begins it; call what it gives to end it. */
export function startExpiry(aggregator: Aggregator): () => void {
  const { keep_days: keepDays } = aggregator.config.store
  if (keepDays === 0) return () => undefined
  let timer: NodeJS.Timeout
  const round = () => {
    expireOnce(aggregator, keepDays * DAY_MS)
      .catch((error: unknown) => aggregator.log.error({ err: error }, 'retention failed'))
      .finally(() => {
        timer = setTimeout(round, EVERY_MS).unref()
      })
  }
  timer = setTimeout(round, FIRST_MS).unref()
  return () => clearTimeout(timer)
}

export async function expireOnce(
  { store, clock, log, metrics }: Pick<Aggregator, 'store' | 'clock' | 'log' | 'metrics'>,
  keptMs: number,
): Promise<void> {
  // By a clock that is wrong at boot everything would be old: no later than a day after a node was last heard of.
  const lastSeenMs = (await store.ledgers()).reduce(
    (last, one) => Math.max(last, one.lastSeenMs),
    0,
  )
  const beforeMs = Math.min(clock.nowMs(), lastSeenMs + DAY_MS) - keptMs
  let expired = 0
  for (let count = AT_ONCE; count >= AT_ONCE;) {
    count = await store.expire(beforeMs, AT_ONCE)
    expired += count
    metrics.expired.inc(count)
  }
  if (expired > 0) log.info({ expired }, 'old records are gone; their sums stay')
}
