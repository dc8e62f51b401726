// Batches into PostgreSQL: what is there is read, the same pure rules as everywhere decide, and what comes of it is written
// in a few statements, however many records there are.
import type { ClientBase } from 'pg'
import { gapBefore, remarksOn } from '../ledger-rules.js'
import { createTally, type Directory, type Tally } from '../rollup.js'
import type { Batch, BatchOutcome, LedgerRemark } from '../store.js'
import { AT, STORED_COLUMNS, toStored, type Cell, type StoredRow } from '../stored-row.js'
import { verdictOn, type Verdict, type Version } from '../supersede.js'
import { insertColumns } from './columns.js'
import { expiredAmong } from './expiry.js'
import { foldNow } from './fold.js'
import { ledgersOf, type Ledgers } from './ledgers.js'
import { addToRollups, type EntityNumbers } from './rollups.js'

export async function ingest(
  client: ClientBase,
  batches: readonly Batch[],
  directory: Directory,
): Promise<{ readonly outcomes: readonly BatchOutcome[]; readonly numbers: EntityNumbers }> {
  const folded = await foldNow(client, Math.max(...batches.map(({ receivedAtMs }) => receivedAtMs)))
  const ledgers = await ledgersOf(client, batches)
  const admitted = batches.map((batch) => admit(batch, ledgers))
  await ledgers.write()
  const rows = admitted.flatMap(({ rows: own }) => own)
  const kept = await readVersions(client, rows)
  const isExpired = await expiredAmong(client, rows)
  const tally = createTally(directory)
  const outcomes = admitted.map((one) => apply(one, ledgers, kept, isExpired, tally))
  await writeVersions(client, kept)
  return { outcomes, numbers: await addToRollups(client, [...tally.deltas(folded)]) }
}

interface Admitted {
  readonly batch: Batch
  readonly rows: readonly StoredRow[]
  readonly gap?: number
  readonly acked?: number
  readonly remarks: readonly LedgerRemark[]
}

function admit(batch: Batch, ledgers: Ledgers): Admitted {
  const { range, receivedAtMs } = batch
  const rows = () => batch.records.map(({ record, changeSeq }) => toStored(record, changeSeq))
  if (range === undefined) return { batch, rows: rows(), remarks: [] }
  const known = ledgers.find(range)
  const gap = gapBefore(range, known)
  if (gap !== undefined) return { batch, rows: [], gap, remarks: [] }
  const remarks = remarksOn(range, known !== undefined, ledgers.latestOf(range))
  return { batch, rows: rows(), acked: ledgers.meet(range, receivedAtMs), remarks }
}

/** A record as it is in the database, or will be. */
interface Kept extends Version {
  readonly isChanged: boolean
}

function apply(
  { batch, rows, gap, acked, remarks }: Admitted,
  ledgers: Ledgers,
  kept: Map<Cell | undefined, Kept>,
  isExpired: (row: StoredRow) => boolean,
  tally: Tally,
): BatchOutcome {
  if (gap !== undefined) return { kind: 'gap', acked: gap }
  const ledger = batch.range && ledgers.find(batch.range)?.number
  const counts = { inserted: 0, changed: 0, corrected: 0, duplicates: 0, foreign: 0 }
  for (const row of rows) {
    const before = kept.get(row[AT.id])
    const verdict = isExpired(row) ? 'duplicates' : verdictOnNext({ row, ledger }, before)
    counts[verdict]++
    if (verdict === 'duplicates' || verdict === 'foreign') continue
    if (before !== undefined) tally.count(before.row, -1)
    tally.count(row, 1)
    kept.set(row[AT.id], { ...corrected({ row, ledger }, before), isChanged: true })
  }
  return { kind: 'applied', ...counts, changed: counts.changed + counts.corrected, acked, remarks }
}

const verdictOnNext = (next: Version, before: Version | undefined): Verdict | 'inserted' =>
  before === undefined ? 'inserted' : verdictOn(next, before)

/** A correction by hand leaves the ledger's mark, so that the ledger's sending again does not undo it. */
function corrected(next: Version, before: Version | undefined): Version {
  if (next.ledger !== undefined || before === undefined) return next
  const row = [...next.row.slice(0, AT.change_seq), before.row[AT.change_seq] ?? 0]
  return { row, ledger: before.ledger }
}

const NAMES = [...STORED_COLUMNS, 'ledger'] as const
const COLUMNS = NAMES.map((column) => `"${column}"`)

async function readVersions(
  client: ClientBase,
  rows: readonly StoredRow[],
): Promise<Map<Cell | undefined, Kept>> {
  const { rows: found } = await client.query<Cell[]>({
    text: `SELECT ${COLUMNS.join(', ')} FROM records WHERE id = ANY($1::text[])`,
    values: [rows.map((row) => row[AT.id])],
    rowMode: 'array',
  })
  return new Map(
    found.map((row) => {
      const ledger = row[STORED_COLUMNS.length]
      const version = {
        row: row.slice(0, STORED_COLUMNS.length),
        ledger: typeof ledger === 'number' ? ledger : undefined,
      }
      return [row[AT.id], { ...version, isChanged: false }]
    }),
  )
}

async function writeVersions(
  client: ClientBase,
  kept: ReadonlyMap<Cell | undefined, Kept>,
): Promise<void> {
  const changed = [...kept.values()].filter(({ isChanged }) => isChanged)
  const updates = COLUMNS.map((column) => `${column} = excluded.${column}`).join(', ')
  await insertColumns(
    client,
    'records',
    RECORD_TYPES,
    changed.map(({ row, ledger }) => [...row, ledger ?? null]),
    `ON CONFLICT (id) DO UPDATE SET ${updates}`,
  )
}

const TEXTS: ReadonlySet<string> = new Set<(typeof NAMES)[number]>([
  'id',
  'cluster',
  'node',
  'step_id',
  'user',
  'group',
  'account',
  'partition',
  'image',
  'image_id',
  'image_digest',
  'command',
  'name',
  'labels',
  'engine',
  'engine_version',
  'state',
  'reason',
  'gres',
  'rule',
])

const typeOf = (column: string): string => {
  if (TEXTS.has(column)) return 'text'
  return column === 'cpus' ? 'double precision' : 'bigint'
}

const RECORD_TYPES = Object.fromEntries(NAMES.map((column) => [column, typeOf(column)]))
