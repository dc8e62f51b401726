// How far this node's clock and the aggregator's are apart, by the Date of its replies: usage is booked by the node's own
// times, so that a node whose clock is wrong books it into the wrong hour.
import type { Clock } from '../base/clock.js'
import type { Logger } from '../base/log.js'
import { onceInAWhile } from '../base/once-in-a-while.js'
import type { UpstreamReply } from '../upstream/upstream.js'

export interface ClockWatch {
  see(reply: Pick<UpstreamReply, 'headers'>): void
  skewMs(): number | undefined
}

/** What MUNGE credentials bear is five minutes (munged(8), --ttl); hours are what is counted in. */
export const TOLERATED_SKEW_MS = 30_000
const SAY_AGAIN_MS = 10 * 60_000
/** Date has seconds, cut off. */
const HALF_SECOND_MS = 500

export function createClockWatch(clock: Clock, log: Logger): ClockWatch {
  const mayRepeat = onceInAWhile(clock, SAY_AGAIN_MS)
  let skewMs: number | undefined
  return {
    skewMs: () => skewMs,
    see: ({ headers }) => {
      skewMs = skewOf(headers.date, clock) ?? skewMs
      if (skewMs === undefined || Math.abs(skewMs) <= TOLERATED_SKEW_MS) return
      if (mayRepeat('skew')) log.error({ skew_ms: skewMs }, skewText(skewMs))
    },
  }
}

export function skewOf(date: string | undefined, clock: Clock): number | undefined {
  const theirMs = date === undefined ? NaN : Date.parse(date)
  return Number.isNaN(theirMs) ? undefined : theirMs + HALF_SECOND_MS - clock.nowMs()
}

export const skewText = (skewMs: number): string =>
  `this node's clock is ${Math.round(Math.abs(skewMs) / 1000)} s ${skewMs > 0 ? 'behind' : 'ahead of'} the aggregator's`
