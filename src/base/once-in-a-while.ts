// What a hostile user could have said without end (a log line) is said once in a while of each.
import type { Clock } from './clock.js'

/** Reports whether `key` has not been let through for `everyMs`; and then it has. */
export function onceInAWhile(clock: Clock, everyMs: number): (key: string) => boolean {
  const lastMs = new Map<string, number>()

  return (key) => {
    const nowMs = clock.monotonicMs()
    for (const [old, atMs] of lastMs) {
      if (nowMs - atMs < everyMs) break // oldest first
      lastMs.delete(old)
    }
    if (lastMs.has(key)) return false
    lastMs.set(key, nowMs)
    return true
  }
}
