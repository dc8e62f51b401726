// Time, as a seam: tests own the clock, the product asks only this.

export interface Clock {
  /** Wall time, ms since the epoch. */
  nowMs(): number
  /** Monotonic time in ms, for durations. */
  monotonicMs(): number
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
}

/** RFC 3339 UTC with milliseconds: "2026-01-31T12:00:00.000Z". */
export const rfc3339 = (epochMs: number): string => new Date(epochMs).toISOString()
