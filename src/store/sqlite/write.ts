// What changes the SQLite store: batches, facts, retention. Runs in a thread of its own (thread.ts).
// INVARIANT: records, rollups and what a ledger has acknowledged change in one transaction.
import type { Database, Statement } from 'better-sqlite3'
import type { NodeRow } from '../../wire/ingest-api.js'
import { gapBefore, remarksOn } from '../ledger-rules.js'
import { USAGE_SUMS } from '../../wire/usage-sums.js'
import { CUTS, createTally, type RollupDelta, type Tally } from '../rollup.js'
import { GRAINS } from '../periods.js'
import type { BatchOutcome, LedgerRange } from '../store.js'
import { AT, STORED_COLUMNS, type StoredRow } from '../stored-row.js'
import { verdictOn, type Verdict } from '../supersede.js'
import { createEntityIds } from './entity-ids.js'
import { createFold } from './fold.js'

/** A batch as it comes to the thread that writes. */
export interface StoredBatch {
  readonly range: LedgerRange | undefined
  readonly receivedAtMs: number
  readonly rows: readonly StoredRow[]
}

export interface WriteCalls {
  /** Batches as JSON: half as dear between threads as a structured clone. */
  ingest(batches: string): readonly BatchOutcome[]
  putFacts(row: NodeRow, sinceMs: number): void
  expire(beforeMs: number, limit: number): number
  probe(): void
}

export function createWriteCalls(db: Database): WriteCalls {
  const entities = createEntityIds(db)
  const ledgers = createLedgers(db)
  const writeRecord = createRecordWriter(db)
  const fold = createFold(db)
  const testExpired = createExpiredTest(db)
  const addToRollups = createRollupWriter(db)
  const putFacts = db.prepare('INSERT OR REPLACE INTO facts VALUES (?, ?, ?, ?)')

  const applyBatch = (
    batch: StoredBatch,
    tally: Tally,
    isExpired: (row: StoredRow) => boolean,
  ): BatchOutcome => {
    const ledger = ledgers.meet(batch)
    if (ledger?.gap !== undefined) return { kind: 'gap', acked: ledger.gap }
    const counts: Counts = { inserted: 0, changed: 0, corrected: 0, duplicates: 0, foreign: 0 }
    for (const row of batch.rows)
      counts[isExpired(row) ? 'duplicates' : writeRecord(row, ledger?.number, tally)]++
    const changed = counts.changed + counts.corrected
    const { acked, remarks = [] } = ledger ?? {}
    return { kind: 'applied', ...counts, changed, acked, remarks }
  }

  const ingest = db.transaction((batches: readonly StoredBatch[]) => {
    const tally = createTally(entities.directory)
    const folded = fold(Math.max(...batches.map(({ receivedAtMs }) => receivedAtMs)))
    const isExpired = testExpired()
    const outcomes = batches.map((batch) => applyBatch(batch, tally, isExpired))
    entities.begin()
    for (const delta of tally.deltas(folded)) addToRollups(delta, entities.idOf(delta.entity))
    entities.end()
    return outcomes
  })

  return {
    ingest: (text) => {
      const batches = JSON.parse(text) as readonly StoredBatch[]
      if (batches.length === 0) return []
      try {
        const outcomes = ingest.immediate(batches)
        entities.trim()
        return outcomes
      } catch (thrown) {
        entities.forget()
        throw thrown
      }
    },
    putFacts: ({ cluster, node, ...facts }, sinceMs) =>
      void putFacts.run(cluster, node, sinceMs, JSON.stringify(facts)),
    expire: createExpiry(db),
    probe: () =>
      void db
        .prepare("INSERT OR REPLACE INTO marks (name, value) VALUES ('probe', hex(randomblob(16)))")
        .run(),
  }
}

interface MetLedger {
  readonly number: number
  readonly acked: number
  readonly gap?: number
  readonly remarks: ReturnType<typeof remarksOn>
}

function createLedgers(db: Database) {
  const find = db.prepare(
    'SELECT number, acked FROM ledgers WHERE (cluster, node, ledger) = (?, ?, ?)',
  )
  const latest = db.prepare(
    'SELECT ledger, turn FROM ledgers WHERE (cluster, node) = (?, ?) ORDER BY turn DESC LIMIT 1',
  )
  const add = db.prepare(
    'INSERT INTO ledgers (cluster, node, ledger, acked, first_seen_ms, last_seen_ms, turn) VALUES (?, ?, ?, ?, ?, ?, ?)',
  )
  const keep = db.prepare(
    'UPDATE ledgers SET acked = ?, last_seen_ms = max(last_seen_ms, ?), turn = ? WHERE number = ?',
  )

  return {
    /** Undefined: the batch is of no ledger. */
    meet({ range, receivedAtMs }: StoredBatch): MetLedger | undefined {
      if (range === undefined) return undefined
      const { cluster, node, ledger, upto } = range
      const known = find.get(cluster, node, ledger) as { number: number; acked: number } | undefined
      const gap = gapBefore(range, known)
      if (gap !== undefined) return { number: 0, acked: gap, gap, remarks: [] }
      const last = latest.get(cluster, node) as { ledger: string; turn: number } | undefined
      const turn = last?.ledger === ledger ? last.turn : (last?.turn ?? 0) + 1
      const acked = Math.max(known?.acked ?? 0, upto)
      const remarks = remarksOn(range, known !== undefined, last?.ledger)
      if (known !== undefined) {
        keep.run(acked, receivedAtMs, turn, known.number)
        return { number: known.number, acked, remarks }
      }
      const { lastInsertRowid } = add.run(
        cluster,
        node,
        ledger,
        acked,
        receivedAtMs,
        receivedAtMs,
        turn,
      )
      return { number: Number(lastInsertRowid), acked, remarks }
    },
  }
}

const COLUMNS = [...STORED_COLUMNS, 'ledger'].map((column) => `"${column}"`)

type Counts = Record<Verdict | 'inserted', number>

function createRecordWriter(db: Database) {
  const insert = db.prepare(
    `INSERT INTO records (${COLUMNS.join(', ')}) VALUES (${COLUMNS.map(() => '?').join(', ')}) ON CONFLICT (id) DO NOTHING`,
  )
  const find = db.prepare(`SELECT ${COLUMNS.join(', ')}, seq FROM records WHERE id = ?`).raw()
  const update = db.prepare(
    `UPDATE records SET ${COLUMNS.map((column) => `${column} = ?`).join(', ')} WHERE seq = ?`,
  )
  return (row: StoredRow, ledger: number | undefined, tally: Tally): keyof Counts => {
    if (insert.run(row, ledger ?? null).changes === 1) {
      tally.count(row, 1)
      return 'inserted'
    }
    const found = find.get(row[AT.id]) as (string | number | null)[]
    const [keptLedger, seq] = found.slice(STORED_COLUMNS.length) as [number | null, number]
    const kept = { row: found, ledger: keptLedger ?? undefined }
    const verdict = verdictOn({ row, ledger }, kept)
    if (verdict === 'duplicates' || verdict === 'foreign') return verdict
    tally.count(found, -1)
    tally.count(row, 1)
    update.run(...corrected(row, ledger, kept), seq)
    return verdict
  }
}

/** A correction by hand leaves the ledger's mark, so that the ledger's sending again does not undo it. */
function corrected(
  row: StoredRow,
  ledger: number | undefined,
  kept: { readonly row: StoredRow; readonly ledger: number | undefined },
): (string | number | null)[] {
  if (ledger !== undefined) return [...row, ledger]
  return [...row.slice(0, AT.change_seq), kept.row[AT.change_seq] ?? 0, kept.ledger ?? null]
}

/** Ids are 32 hex digits mostly: 16 bytes, for as long as the store lives. */
const EXPIRED_ID = 'coalesce(unhex(?), ?)'

/** A record's time of creation never changes: what is younger than all that expired has not. */
function createExpiredTest(db: Database): () => (row: StoredRow) => boolean {
  const youngest = db.prepare("SELECT value FROM marks WHERE name = 'expired_created'").pluck()
  const find = db.prepare(`SELECT 1 FROM expired WHERE id = ${EXPIRED_ID}`)
  return () => {
    const mark = (youngest.get() as number | undefined) ?? -Infinity
    return (row) =>
      Number(row[AT.created_at]) <= mark && find.get(row[AT.id], row[AT.id]) !== undefined
  }
}

function createExpiry(db: Database): WriteCalls['expire'] {
  const pick = db
    .prepare(
      'SELECT seq, id, created_at FROM records WHERE closed_ms < ? ORDER BY closed_ms LIMIT ?',
    )
    .raw()
  const remember = db.prepare(`INSERT OR IGNORE INTO expired VALUES (${EXPIRED_ID})`)
  const remove = db.prepare('DELETE FROM records WHERE seq = ?')
  const mark = db.prepare(
    `INSERT INTO marks (name, value) VALUES ('expired_created', CAST(? AS INTEGER))
      ON CONFLICT DO UPDATE SET value = max(value, excluded.value)`,
  )
  const expire = db.transaction((beforeMs: number, limit: number) => {
    const rows = pick.all(beforeMs, limit) as [number, string, number][]
    for (const [seq, id, createdAt] of rows) {
      remember.run(id, id)
      remove.run(seq)
      mark.run(createdAt)
    }
    return rows.length
  })
  return (beforeMs, limit) => expire.immediate(beforeMs, limit)
}

/**
 * Sums grow up to these and no further: beyond 2^63 SQLite would answer with an error, for ever. 31 days make a month.
 * Of real sums none is near (a million CPUs for a day).
 */
const FINE_LIMIT = 100_000_000_000_000_000n
const COARSE_LIMIT = 4_000_000_000_000_000_000n

export function createRollupWriter(db: Database): (delta: RollupDelta, id: number) => void {
  const sums = USAGE_SUMS.join(', ')
  const added = (limit: bigint) =>
    USAGE_SUMS.map(
      (field) => `${field} = max(-${limit}, min(${limit}, ${field} + excluded.${field}))`,
    ).join(', ')
  const statement = (table: string, keys: string, limit: bigint): Statement =>
    db.prepare(
      `INSERT INTO ${table} (${keys}, ${sums}) VALUES (?, ?, ?${', ?'.repeat(USAGE_SUMS.length)}) ON CONFLICT DO UPDATE SET ${added(limit)}`,
    )
  const hours = statement('rollup_hours', 'cut, period, entity', FINE_LIMIT)
  const days = statement('rollups', 'grain, period, entity', FINE_LIMIT)
  const coarse = statement('rollups', 'grain, period, entity', COARSE_LIMIT)
  return ({ entity, grain, period, sums: values }, id) => {
    if (grain === 'hour') hours.run(CUTS[entity.cut].number, period, id, values)
    else (grain === 'day' ? days : coarse).run(GRAINS[grain], period, id, values)
  }
}
