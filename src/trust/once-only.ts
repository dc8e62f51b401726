// Credentials that were used, for as long as munged would take them: its own memory ends with its restart.
import type { Clock } from '../base/clock.js'
import { sha256Hex } from './request-line.js'

export interface OnceOnly {
  /** Reports whether this is the first use; and from now on it is not. */
  isFirst(credential: string, goodForMs: number): boolean
}

/** Beyond the time to live: clocks of two hosts may differ by that much and munged still agrees. */
const MARGIN_MS = 300_000

export function rememberUsed(clock: Clock): OnceOnly {
  const untilMs = new Map<string, number>()

  return {
    isFirst: (credential, goodForMs) => {
      const nowMs = clock.monotonicMs()
      for (const [old, endMs] of untilMs) {
        if (endMs > nowMs) break // roughly oldest first; one with a longer life holds the others a while
        untilMs.delete(old)
      }
      const digest = sha256Hex(credential)
      if (untilMs.has(digest)) return false
      untilMs.set(digest, nowMs + goodForMs + MARGIN_MS)
      return true
    },
  }
}
