// Whether a credential was made on the node that it speaks for: the node's name must have the address that munged vouches for.
import { lookup } from 'node:dns/promises'
import { atMost } from '../base/at-most.js'
import type { Clock } from '../base/clock.js'
import { HepwrapError, quote } from '../base/errors.js'
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

interface Kept {
  readonly untilMs: number
  readonly addresses: Promise<readonly string[]>
}

export function createNodeAddresses({
  clock,
  waitMs = WAIT_MS,
  resolve = systemLookup,
}: NodeAddressOptions): NodeAddresses {
  const kept = new Map<string, Kept>()
  const inTurn = atMost(AT_ONCE)

  const addressesOf = (node: string): Promise<readonly string[]> => {
    const nowMs = clock.monotonicMs()
    const known = kept.get(node)
    if (known !== undefined && known.untilMs > nowMs) return known.addresses
    const addresses = inTurn(() => resolve(node))
    keep(node, { untilMs: nowMs + KEPT_MS, addresses })
    addresses.then(
      (found) => {
        if (found.length === 0) keep(node, { untilMs: nowMs + KEPT_ABSENT_MS, addresses })
      },
      () => kept.delete(node),
    )
    return addresses
  }
  const keep = (node: string, entry: Kept) => {
    kept.delete(node)
    kept.set(node, entry)
    const oldest = kept.keys().next()
    if (kept.size > KEPT_NAMES && oldest.done !== true) kept.delete(oldest.value)
  }

  return {
    check: async (node, origin) => {
      const addresses = await within(waitMs, addressesOf(node), () => unresolved(node))
      if (addresses.includes(origin)) return
      // A new address of a node that was moved is not refused for five minutes.
      kept.delete(node)
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
    if (error instanceof Error && 'code' in error && error.code === 'ENOTFOUND') return []
    throw unresolved(name)
  }
}
