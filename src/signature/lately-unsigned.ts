// Which images were found unsigned a moment ago, so that runs in a loop do not ask the registry at each. In memory alone.
import type { Clock } from '../base/clock.js'

/** Who signs an image and tries again waits no longer than this. */
const KNOWN_MS = 10_000
const MAX_KNOWN = 1000

export interface LatelyUnsigned {
  /** What was found of it; undefined where nothing is known. */
  find(question: string): string | undefined
  remember(question: string, what: string): void
}

export function rememberUnsigned(clock: Clock, maxKnown = MAX_KNOWN): LatelyUnsigned {
  const known = new Map<string, { readonly what: string; readonly atMs: number }>()
  const isOver = (atMs: number) => clock.monotonicMs() - atMs >= KNOWN_MS
  return {
    find: (question) => {
      const found = known.get(question)
      return found === undefined || isOver(found.atMs) ? undefined : found.what
    },
    remember: (question, what) => {
      known.delete(question) // the map is in the order of time
      known.set(question, { what, atMs: clock.monotonicMs() })
      for (const [old, { atMs }] of known) {
        if (known.size <= maxKnown && !isOver(atMs)) break
        known.delete(old)
      }
    },
  }
}
