// Browsers: a link that works once within a minute becomes a cookie for half a day. All of it in memory: a restart ends them.
import { randomBytes } from 'node:crypto'
import type { Clock } from '../base/clock.js'
import { HepwrapError } from '../base/errors.js'
import { sha256Hex } from '../trust/request-line.js'
import type { Party } from './party.js'

export const SESSION_SECONDS = 12 * 3600
const CODE_MS = 60_000
const MAX_KEPT = 10_000
const MAX_KEPT_OF_ONE = 16

export interface Sessions {
  /** A code for one use. Throws HW_AGGREGATOR_BUSY. */
  offer(party: Party): string
  /** The cookie's value; undefined: an old, a used or an unknown code. */
  redeem(code: string): string | undefined
  partyOf(cookie: string): Party | undefined
  /** Ends all of them: who may what has changed. */
  clear(): void
}

export function createSessions(clock: Clock): Sessions {
  const codes = createKept(clock, CODE_MS)
  const cookies = createKept(clock, SESSION_SECONDS * 1000)
  return {
    offer: (party) => codes.put(party),
    redeem: (code) => {
      const party = codes.take(code)
      return party && cookies.put(party)
    },
    partyOf: (cookie) => cookies.get(cookie),
    clear: () => {
      codes.clear()
      cookies.clear()
    },
  }
}

// By digest: how long a look-up takes tells nothing about a secret. Oldest first, for all live equally long.
function createKept(clock: Clock, lifeMs: number) {
  const kept = new Map<string, { readonly party: Party; readonly untilMs: number }>()
  const forget = () => {
    for (const [key, { untilMs }] of kept) {
      if (untilMs > clock.monotonicMs()) return
      kept.delete(key)
    }
  }
  const dropOldestOf = ({ uid }: Party) => {
    const own = [...kept].filter(([, { party }]) => party.uid === uid)
    for (const [key] of own.slice(0, Math.max(0, own.length + 1 - MAX_KEPT_OF_ONE)))
      kept.delete(key)
  }
  const get = (secret: string): Party | undefined => {
    forget()
    return kept.get(sha256Hex(secret))?.party
  }
  return {
    clear: () => kept.clear(),
    put: (party: Party): string => {
      forget()
      dropOldestOf(party)
      if (kept.size >= MAX_KEPT)
        throw new HepwrapError('HW_AGGREGATOR_BUSY', `there are ${MAX_KEPT} sessions already`)
      const secret = randomBytes(32).toString('base64url')
      kept.set(sha256Hex(secret), { party, untilMs: clock.monotonicMs() + lifeMs })
      return secret
    },
    get,
    take: (secret: string): Party | undefined => {
      const party = get(secret)
      kept.delete(sha256Hex(secret))
      return party
    },
  }
}
