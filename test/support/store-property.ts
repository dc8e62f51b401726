// Whatever nodes send, in whatever order and how often: the store has what a naive model of a few lines has, and its
// rollups are the sums of all that was ever accepted.
import fc from 'fast-check'
import { expect } from 'vitest'
import type { Batch, Store } from '../../src/store/store.js'
import type { UsageRecord } from '../../src/wire/usage-api.js'
import { allRecords, expectSumsOf } from './naive-usage.js'
import { ended } from './store-records.js'

const NODES = ['n1', 'n2']
const HOUR_MS = 3_600_000
const START_MS = Date.UTC(2026, 0, 20)

export type Operation =
  /** A node changes one of its records, or makes one. */
  | { kind: 'change'; node: number; which: number; how: number; hours: number }
  /** A node sends what it has from `back` changes before the acknowledged end (or, below, beyond it). */
  | { kind: 'send'; node: number; back: number; count: number }
  /** A batch of before arrives once more, or late. */
  | { kind: 'again'; which: number }
  /** Two batches of before arrive together. */
  | { kind: 'together'; which: number; other: number }
  | { kind: 'reinstall'; node: number }
  | { kind: 'by hand'; which: number; how: number }
  | { kind: 'later'; days: number }
  | { kind: 'expire'; days: number; limit: number }
  | { kind: 'reopen' }

const small = fc.nat(7)
export const operations: fc.Arbitrary<Operation[]> = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant('change' as const),
        node: fc.nat(1),
        which: small,
        how: fc.nat(1000),
        hours: fc.integer({ min: -1500, max: 500 }),
      }),
    },
    {
      weight: 5,
      arbitrary: fc.record({
        kind: fc.constant('send' as const),
        node: fc.nat(1),
        back: fc.integer({ min: -2, max: 4 }),
        count: fc.nat(6),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('again' as const), which: small }) },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('together' as const), which: small, other: small }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('reinstall' as const), node: fc.nat(1) }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('by hand' as const),
        which: small,
        how: fc.nat(1000),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('later' as const), days: fc.nat(25) }) },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('expire' as const),
        days: fc.nat(60),
        limit: fc.nat(5),
      }),
    },
    { weight: 1, arbitrary: fc.constant({ kind: 'reopen' as const }) },
  ),
  // Long ones: what is wrong shows when a record meets its past.
  { minLength: 40, maxLength: 80, size: 'max' },
)

interface Ledger {
  readonly id: string
  seq: number
  readonly rows: Map<string, { record: UsageRecord; seq: number }>
}

interface Kept {
  record: UsageRecord
  ledger: string | undefined
  seq: number
  isExpired: boolean
}

const staysEnded = (old: Kept, record: UsageRecord, ledger: string | undefined): boolean =>
  old.record.state !== 'RUNNING' &&
  (record.state === 'RUNNING' || (ledger !== undefined && old.ledger !== undefined))

/** The rules of wire/ingest-api.ts in the plainest words. */
function createModel() {
  const kept = new Map<string, Kept>()
  const acked = new Map<string, number>()
  const take = (record: UsageRecord, ledger: string | undefined, seq: number) => {
    const old = kept.get(record.id)
    if (old === undefined)
      return void kept.set(record.id, { record, ledger, seq, isExpired: false })
    if (old.isExpired || old.record.node !== record.node) return
    if (ledger !== undefined && ledger === old.ledger) {
      if (seq <= old.seq) return
    } else {
      if (staysEnded(old, record, ledger)) return
      if (JSON.stringify(record) === JSON.stringify(old.record)) return
    }
    old.record = record
    if (ledger !== undefined) {
      old.ledger = ledger
      old.seq = seq
    }
  }
  return {
    kept,
    acked,
    ingest: ({ range, records }: Batch): string => {
      if (range !== undefined) {
        const end = acked.get(range.ledger) ?? 0
        if (range.after > end) return `gap ${end}`
        acked.set(range.ledger, Math.max(end, range.upto))
      }
      for (const { record, changeSeq } of records) take(record, range?.ledger, changeSeq)
      return `applied ${range === undefined ? 'loose' : acked.get(range.ledger)}`
    },
  }
}

// eslint-disable-next-line complexity -- a table of operations
export async function holdsFor(
  list: readonly Operation[],
  open: () => Promise<Store>,
): Promise<void> {
  let store = await open()
  try {
    const model = createModel()
    const sent: Batch[] = []
    const nodes = NODES.map(() => newLedger())
    let made = 0
    let nowMs = START_MS

    const deliver = async (...batches: Batch[]) => {
      const now = batches.map((batch) => ({ ...batch, receivedAtMs: nowMs }))
      const outcomes = await store.ingest(now)
      expect(
        outcomes.map((one) =>
          one.kind === 'gap' ? `gap ${one.acked}` : `applied ${one.acked ?? 'loose'}`,
        ),
      ).toEqual(now.map(model.ingest))
      sent.push(...batches)
    }
    const version = (id: string, node: number, how: number, hours: number): UsageRecord => {
      const endMs = nowMs + hours * HOUR_MS
      const isRunning = how % 4 === 0
      return ended({
        id,
        node: NODES[node]!,
        created_at: '2026-01-01T00:00:00.000Z',
        user: ['alice', 'bob', null][how % 3]!,
        uid: [2001, 2002, 2003][how % 3]!,
        account: ['physics', null][how % 2]!,
        image: `image:${how % 5}`,
        state: isRunning ? 'RUNNING' : (['COMPLETED', 'FAILED', 'REFUSED'] as const)[how % 3]!,
        started_at: new Date(endMs - (how % 50) * HOUR_MS).toISOString(),
        ended_at: isRunning ? null : new Date(endMs).toISOString(),
        cpu_user_usec: how * 1000,
        cpus: how % 7 === 0 ? null : (how % 5) / 2,
        io_read_bytes: how,
      })
    }

    for (const operation of list) {
      switch (operation.kind) {
        case 'change': {
          const ledger = nodes[operation.node]!
          const ids = [...ledger.rows.keys()]
          const id = ids[operation.which] ?? (++made).toString(16).padStart(32, '0')
          const record = version(id, operation.node, operation.how, operation.hours)
          ledger.rows.set(id, { record, seq: ++ledger.seq })
          break
        }
        case 'send': {
          const ledger = nodes[operation.node]!
          const after = Math.max(0, (model.acked.get(ledger.id) ?? 0) - operation.back)
          const upto = Math.max(after, Math.min(ledger.seq, after + operation.count))
          const rows = [...ledger.rows.values()].filter(({ seq }) => seq > after && seq <= upto)
          await deliver({
            range: {
              cluster: 'hepp',
              node: NODES[operation.node]!,
              ledger: ledger.id,
              after,
              upto,
            },
            receivedAtMs: nowMs,
            records: rows.map(({ record, seq }) => ({ record, changeSeq: seq })),
          })
          break
        }
        case 'again':
        case 'together': {
          const batches = [operation.which, ...('other' in operation ? [operation.other] : [])]
            .map((which) => sent[sent.length - 1 - which])
            .filter((batch) => batch !== undefined)
          if (batches.length > 0) await deliver(...batches)
          break
        }
        case 'reinstall':
          nodes[operation.node] = newLedger()
          break
        case 'by hand': {
          const id = [...model.kept.keys()][operation.which]
          if (id === undefined) break
          const record = version(id, operation.how % 2, operation.how, 0)
          await deliver({
            range: undefined,
            receivedAtMs: nowMs,
            records: [{ record, changeSeq: 0 }],
          })
          break
        }
        case 'later':
          nowMs += operation.days * 24 * HOUR_MS
          break
        case 'expire': {
          const before = nowMs - operation.days * 24 * HOUR_MS
          const ids = new Set((await allRecords(store)).map(({ id }) => id))
          await store.expire(before, operation.limit)
          for (const { id } of await allRecords(store)) ids.delete(id)
          for (const id of ids) {
            const gone = model.kept.get(id)!
            expect(Date.parse(gone.record.ended_at!)).toBeLessThan(before)
            gone.isExpired = true
          }
          break
        }
        case 'reopen':
          await store.close()
          store = await open()
          break
      }
    }
    const byId = (one: UsageRecord, other: UsageRecord) => (one.id < other.id ? -1 : 1)
    const alive = [...model.kept.values()].filter(({ isExpired }) => !isExpired)
    expect((await allRecords(store)).sort(byId)).toEqual(
      alive.map(({ record }) => record).sort(byId),
    )
    await expectSumsOf(
      store,
      [...model.kept.values()].map(({ record }) => record),
    )
  } finally {
    await store.close()
  }
}

const newLedger = (): Ledger => ({ id: fresh(), seq: 0, rows: new Map() })
const fresh = (() => {
  let last = 0
  return () => `f${(++last).toString(16).padStart(31, '0')}`
})()
