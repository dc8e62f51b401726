// How many refusals of one user are recorded: one for each task of a wide job, and not so many that he fills the disk and
// nobody can run any more. The node's log has a line for every refusal; the journal bounds itself.
import type { Clock } from '../base/clock.js'

export interface RefusalBudget {
  /** "last": it is recorded, and the next ones in this hour will not be. */
  spend(uid: number): 'recorded' | 'last' | 'spent'
}

export const REFUSALS_PER_HOUR = 2000
const HOUR_MS = 3_600_000

export function createRefusalBudget(clock: Clock, perHour = REFUSALS_PER_HOUR): RefusalBudget {
  const spent = new Map<number, number>()
  let hour = -1

  return {
    spend: (uid) => {
      const now = Math.floor(clock.monotonicMs() / HOUR_MS)
      if (now !== hour) spent.clear()
      hour = now
      const count = (spent.get(uid) ?? 0) + 1
      spent.set(uid, count)
      if (count < perHour) return 'recorded'
      return count === perHour ? 'last' : 'spent'
    },
  }
}
