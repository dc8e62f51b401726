// How long to wait after a fault: longer each time, and of no two nodes the same ("full jitter":
// https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).

const FIRST_MS = 1000
export const CEILING_MS = 5 * 60_000
const LEAST_MS = 100
/** What an aggregator asks for is honoured, and spread a little: it may have told thousands the same. */
const SPREAD = 0.2

export interface BackOff {
  /** The next wait, ms; not less than what the other side asked for. */
  next(retryAfterMs: number | undefined): number
  reset(): void
}

export function createBackOff(random: () => number): BackOff {
  let faults = 0
  return {
    next: (retryAfterMs) => {
      const most = Math.min(CEILING_MS, FIRST_MS * 2 ** faults)
      faults = Math.min(faults + 1, 30)
      const own = Math.max(LEAST_MS, most * random())
      // One that has been full for an hour is not asked every second, though it says so to each.
      return retryAfterMs === undefined
        ? own
        : Math.max(own, retryAfterMs * (1 + SPREAD * random()))
    },
    reset: () => void (faults = 0),
  }
}
