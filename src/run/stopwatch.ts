// How long each part of a launch took: for the log, for --verbose, and for setup_ms.
import type { Clock } from '../base/clock.js'

/** Parts that wait for the engine; everything else is the daemon's own share. */
const ENGINE_PARTS: ReadonlySet<string> = new Set(['image', 'create', 'attach', 'start'])

export interface Stopwatch {
  /** Ends a part that began at the last lap. */
  lap(part: string): void
  /** Milliseconds of each part, in order. */
  readonly parts: Readonly<Record<string, number>>
  totalMs(): number
  /** Total less what the engine took. */
  ownMs(): number
}

export function startStopwatch(clock: Clock, onLap: (part: string, ms: number) => void): Stopwatch {
  const startedAt = clock.monotonicMs()
  const parts: Record<string, number> = {}
  let last = startedAt
  return {
    lap: (part) => {
      const now = clock.monotonicMs()
      const ms = Math.round((now - last) * 100) / 100
      parts[part] = ms
      last = now
      onLap(part, ms)
    },
    parts,
    totalMs: () => last - startedAt,
    ownMs: () =>
      Object.entries(parts).reduce(
        (sum, [part, ms]) => (ENGINE_PARTS.has(part) ? sum : sum + ms),
        0,
      ),
  }
}
