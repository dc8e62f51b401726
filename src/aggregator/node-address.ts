// Whether a credential was made on the node that it speaks for: the node's name must have the address that munged vouches for.
import { lookup } from 'node:dns/promises'
import { atMost } from '../base/at-most.js'
import type { Clock } from '../base/clock.js'
import { HepwrapError, quote } from '../base/errors.js'
import { hasCode } from '../base/has-code.js'
import { within } from '../base/within.js'

export interface NodeAddresses {
  /** Throws HW_NODE_MISMATCH; HW_AGGREGATOR_BUSY where nobody says which addresses the name has. */
  check(node: string, origin: string): Promise<void>
}

export interface NodeAddressOptions {
  readonly clock: Clock
  readonly waitMs?: number
  readonly resolve?: (name: string) => Promise<readonly string[]>
}

const KEPT_MS = 300_000
const KEPT_ABSENT_MS = 15_000
const KEPT_NAMES = 20_000
const WAIT_MS = 5000
/** Look-ups hold threads of Node's pool, which unpacks batches as well. */
const AT_ONCE = 2

/** Beyond its time an address is good while it is looked up anew: who keeps the look-ups busy keeps nobody out. */
const STALE_MS = 3_600_000
/** Look-ups that one host may have waiting. */
const WAITING_A_HOST = 4

interface Kept {
  readonly atMs: number
  readonly addresses: readonly string[]
}

export function createNodeAddresses({
  clock,
  waitMs = WAIT_MS,
  resolve = systemLookup,
}: NodeAddressOptions): NodeAddresses {
  const kept = new Map<string, Kept>()
  const asked = new Map<string, Promise<readonly string[]>>()
  const waiting = new Map<string, number>()
  const inTurn = atMost(AT_ONCE)

  const keep = (node: string, addresses: readonly string[]) => {
    kept.delete(node)
    kept.set(node, { atMs: clock.monotonicMs(), addresses })
    const oldest = kept.keys().next()
    if (kept.size > KEPT_NAMES && oldest.done !== true) kept.delete(oldest.value)
    return addresses
  }
  const lookUp = (node: string, origin: string): Promise<readonly string[]> => {
    const known = asked.get(node)
    if (known !== undefined) return known
    const mine = (waiting.get(origin) ?? 0) + 1
    if (mine > WAITING_A_HOST) throw unresolved(node)
    waiting.set(origin, mine)
    const answer = inTurn(() => resolve(node))
      .then((addresses) => keep(node, addresses))
      .finally(() => {
        asked.delete(node)
        const left = (waiting.get(origin) ?? 1) - 1
        if (left > 0) waiting.set(origin, left)
        else waiting.delete(origin)
      })
    answer.catch(() => undefined) // whoever waits for it is told
    asked.set(node, answer)
    return answer
  }
  const isKnown = (node: string, origin: string): boolean => {
    const known = kept.get(node)
    if (known?.addresses.includes(origin) !== true) return false
    const ageMs = clock.monotonicMs() - known.atMs
    if (ageMs > KEPT_MS && ageMs <= STALE_MS) refresh(node, origin)
    return ageMs <= STALE_MS
  }
  const refresh = (node: string, origin: string) => {
    try {
      void lookUp(node, origin)
    } catch {
      // its host has enough of them waiting: another time
    }
  }

  return {
    check: async (node, origin) => {
      if (isKnown(node, origin)) return
      const known = kept.get(node)
      // A node that was moved is not refused for longer than this.
      const isFresh = known !== undefined && clock.monotonicMs() - known.atMs <= KEPT_ABSENT_MS
      const addresses = isFresh
        ? known.addresses
        : await within(waitMs, lookUp(node, origin), () => unresolved(node))
      if (!addresses.includes(origin))
        throw new HepwrapError('HW_NODE_MISMATCH', mismatch(node, origin, addresses))
    },
  }
}

function mismatch(node: string, origin: string, addresses: readonly string[]): string {
  const has = addresses.length === 0 ? 'has no address here' : `is ${addresses.join(', ')} here`
  const hint = /^(?:127\.|0\.0\.0\.0$)/.test(origin)
    ? '; munged there takes its host name for a loopback address: correct /etc/hosts, or munged --origin'
    : ''
  return `the credential was made at ${origin}, and node ${quote(node)} ${has}${hint}`
}

const unresolved = (node: string) =>
  new HepwrapError('HW_AGGREGATOR_BUSY', `no answer to which address ${quote(node)} has`)

/** As the host resolves names: /etc/hosts, DNS. IPv4, as MUNGE's origin is. */
async function systemLookup(name: string): Promise<readonly string[]> {
  try {
    return (await lookup(name, { all: true, family: 4 })).map(({ address }) => address)
  } catch (error) {
    if (hasCode(error, 'ENOTFOUND')) return []
    throw unresolved(name)
  }
}
