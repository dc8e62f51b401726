// Memory for bodies, given before a byte is read. Two kinds of waiting: who sends is told to come again at once; what is
// here already waits its turn to be unpacked.
import { within } from '../base/within.js'
import { HepwrapError } from '../base/errors.js'

export interface ArrivalBudget {
  /** Gives the bytes back when called; undefined: there are none left, or this sender has his share. */
  take(bytes: number, sender: string): (() => void) | undefined
  inUse(): number
}

/** One sender may have `share` of the whole at once, so that a few slow ones do not keep everybody else out. */
export function createArrivalBudget(capacity: number, share: number): ArrivalBudget {
  const bySender = new Map<string, number>()
  let used = 0
  return {
    inUse: () => used,
    take: (bytes, sender) => {
      const own = (bySender.get(sender) ?? 0) + bytes
      if (used + bytes > capacity || own > share) return undefined
      used += bytes
      bySender.set(sender, own)
      return once(() => {
        used -= bytes
        const left = (bySender.get(sender) ?? 0) - bytes
        if (left > 0) bySender.set(sender, left)
        else bySender.delete(sender)
      })
    },
  }
}

export interface Reservation {
  /** Gives back what was reserved beyond this. */
  shrinkTo(bytes: number): void
  release(): void
}

export interface OpenBudget {
  /** Waits for its turn, in order of coming; throws HW_AGGREGATOR_BUSY after `waitMs`. */
  reserve(bytes: number, waitMs: number): Promise<Reservation>
  inUse(): number
}

interface Waiter {
  readonly bytes: number
  readonly admit: () => void
  gone: boolean
}

export function createOpenBudget(capacity: number): OpenBudget {
  const waiting: Waiter[] = []
  let used = 0

  const admitNext = () => {
    for (let first = waiting[0]; first !== undefined; first = waiting[0]) {
      if (!first.gone && used + first.bytes > capacity) return
      waiting.shift()
      if (first.gone) continue
      used += first.bytes
      first.admit()
    }
  }
  const giveBack = (bytes: number) => {
    used -= bytes
    admitNext()
  }
  const reservation = (bytes: number): Reservation => {
    let held = bytes
    const shrinkTo = (kept: number) => {
      const surplus = Math.max(0, held - kept)
      held -= surplus
      giveBack(surplus)
    }
    return { shrinkTo, release: () => shrinkTo(0) }
  }
  return {
    inUse: () => used,
    reserve: async (bytes, waitMs) => {
      let waiter: Waiter | undefined
      const turn = new Promise<void>((admit) => {
        waiter = { bytes, admit, gone: false }
        waiting.push(waiter)
        admitNext()
      })
      try {
        await within(waitMs, turn, busy)
      } catch (error) {
        if (waiter !== undefined) waiter.gone = true
        throw error
      }
      return reservation(bytes)
    },
  }
}

const busy = () =>
  new HepwrapError('HW_AGGREGATOR_BUSY', 'as many batches are in hand as the memory allows')

function once(work: () => void): () => void {
  let isOver = false
  return () => {
    if (isOver) return
    isOver = true
    work()
  }
}
