// An answer that is good for a while: asked for once, however many want it.
import type { Clock } from './clock.js'

/** `ask`, at most once in `keptMs`; a failure is not kept. */
export function keptFor<T>(clock: Clock, keptMs: number, ask: () => Promise<T>): () => Promise<T> {
  let kept: { readonly untilMs: number; readonly answer: Promise<T> } | undefined
  return () => {
    const nowMs = clock.monotonicMs()
    if (kept !== undefined && nowMs < kept.untilMs) return kept.answer
    const entry = { untilMs: nowMs + keptMs, answer: ask() }
    kept = entry
    entry.answer.catch(() => {
      if (kept === entry) kept = undefined
    })
    return entry.answer
  }
}
