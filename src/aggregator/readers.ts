// How many questions one party may have open at once: each holds a page of records in memory for as long as its reader likes.
import { HepwrapError } from '../base/errors.js'

export interface Readers {
  /** Call what it gives when the answer is over. Throws HW_AGGREGATOR_BUSY. */
  enter(party: string): () => void
}

export function createReaders(atOnce: number): Readers {
  const open = new Map<string, number>()
  return {
    enter: (party) => {
      const count = (open.get(party) ?? 0) + 1
      if (count > atOnce)
        throw new HepwrapError(
          'HW_AGGREGATOR_BUSY',
          `${party} has ${atOnce} questions open already`,
        )
      open.set(party, count)
      return () => {
        const left = (open.get(party) ?? 1) - 1
        if (left > 0) open.set(party, left)
        else open.delete(party)
      }
    },
  }
}
