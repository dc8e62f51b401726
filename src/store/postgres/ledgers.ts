// The ledgers of the nodes that a group of batches is of: read at once, advanced batch by batch, written at once.
import type { ClientBase } from 'pg'
import type { Batch, LedgerRange } from '../store.js'
import { insertColumns } from './columns.js'

interface Ledger {
  readonly cluster: string
  readonly node: string
  readonly ledger: string
  number: number | undefined
  acked: number
  readonly firstSeenMs: number
  lastSeenMs: number
  turn: number
}

export interface Ledgers {
  find(range: LedgerRange): Pick<Ledger, 'acked' | 'number'> | undefined
  /** The ledger that sent last for this node. */
  latestOf(range: LedgerRange): string | undefined
  /** A batch of it has come; the end of what is acknowledged then. */
  meet(range: LedgerRange, receivedAtMs: number): number
  /** Gives the new ones their numbers. */
  write(): Promise<void>
}

export async function ledgersOf(client: ClientBase, batches: readonly Batch[]): Promise<Ledgers> {
  const ranges = batches.flatMap(({ range }) => (range === undefined ? [] : [range]))
  const byNode = new Map<string, Ledger[]>()
  for (const range of ranges) byNode.set(nodeKey(range), [])
  for (const ledger of await readLedgers(client, ranges)) byNode.get(nodeKey(ledger))?.push(ledger)

  const of = (range: LedgerRange) => byNode.get(nodeKey(range)) ?? []
  const find = (range: LedgerRange) => of(range).find(({ ledger }) => ledger === range.ledger)
  const latest = (range: LedgerRange) =>
    of(range).reduce<Ledger | undefined>(
      (last, one) => (last === undefined || one.turn > last.turn ? one : last),
      undefined,
    )
  return {
    find,
    latestOf: (range) => latest(range)?.ledger,
    meet: (range, receivedAtMs) => {
      const last = latest(range)
      const turn = last?.ledger === range.ledger ? last.turn : (last?.turn ?? 0) + 1
      const known = find(range)
      if (known === undefined) {
        const { cluster, node, ledger, upto } = range
        const seen = { firstSeenMs: receivedAtMs, lastSeenMs: receivedAtMs }
        of(range).push({ cluster, node, ledger, number: undefined, acked: upto, ...seen, turn })
        return upto
      }
      known.acked = Math.max(known.acked, range.upto)
      known.lastSeenMs = Math.max(known.lastSeenMs, receivedAtMs)
      known.turn = turn
      return known.acked
    },
    write: async () => writeLedgers(client, [...byNode.values()].flat()),
  }
}

const nodeKey = ({ cluster, node }: { readonly cluster: string; readonly node: string }) =>
  JSON.stringify([cluster, node])

async function readLedgers(
  client: ClientBase,
  of: readonly { readonly cluster: string; readonly node: string }[],
): Promise<Ledger[]> {
  if (of.length === 0) return []
  const { rows } = await client.query<Ledger>(
    `SELECT number, cluster, node, ledger, acked, first_seen_ms AS "firstSeenMs", last_seen_ms AS "lastSeenMs", turn
      FROM ledgers WHERE (cluster, node) IN (SELECT * FROM unnest($1::text[], $2::text[]))`,
    [of.map(({ cluster }) => cluster), of.map(({ node }) => node)],
  )
  return rows
}

const TYPES = {
  cluster: 'text',
  node: 'text',
  ledger: 'text',
  acked: 'bigint',
  first_seen_ms: 'bigint',
  last_seen_ms: 'bigint',
  turn: 'bigint',
}

async function writeLedgers(client: ClientBase, ledgers: readonly Ledger[]): Promise<void> {
  await insertColumns(
    client,
    'ledgers',
    TYPES,
    ledgers.map(({ cluster, node, ledger, acked, firstSeenMs, lastSeenMs, turn }) => [
      ...[cluster, node, ledger],
      ...[acked, firstSeenMs, lastSeenMs, turn],
    ]),
    `ON CONFLICT (cluster, node, ledger) DO UPDATE SET
      acked = excluded.acked, last_seen_ms = excluded.last_seen_ms, turn = excluded.turn`,
  )
  const fresh = ledgers.filter(({ number }) => number === undefined)
  const written = await readLedgers(client, fresh)
  for (const one of fresh)
    one.number = written.find(
      ({ cluster, node, ledger }) =>
        ledger === one.ledger && node === one.node && cluster === one.cluster,
    )?.number
}
