// A record as the databases keep it: its fields in order, times in ms since the epoch, labels as JSON text, and behind
// them when it counts as closed and which change of its ledger it is.
import { rfc3339 } from '../base/clock.js'
import { HepwrapError, quote } from '../base/errors.js'
import { RECORD_FIELDS } from '../wire/record-fields.js'
import type { UsageRecord } from '../wire/usage-api.js'

export type Cell = string | number | null
/** Cells in the order of STORED_COLUMNS. */
export type StoredRow = readonly Cell[]

export const STORED_COLUMNS = [...RECORD_FIELDS, 'closed_ms', 'change_seq'] as const
export type StoredColumn = (typeof STORED_COLUMNS)[number]

/** Where a column stands in a row. */
export const AT = Object.fromEntries(
  STORED_COLUMNS.map((column, index) => [column, index]),
) as Readonly<Record<StoredColumn, number>>

/** Cells that are content: two rows that differ only behind them say the same. */
const CONTENT_CELLS = RECORD_FIELDS.length

const TIMES: ReadonlySet<string> = new Set(['created_at', 'started_at', 'ended_at'])

export function toStored(record: UsageRecord, changeSeq: number): StoredRow {
  const row: Cell[] = new Array<Cell>(STORED_COLUMNS.length)
  for (let index = 0; index < CONTENT_CELLS; index++) {
    const field = RECORD_FIELDS[index]
    if (field !== undefined) row[index] = toCell(field, record[field])
  }
  row[AT.closed_ms] = closedMs(row)
  row[AT.change_seq] = changeSeq
  return row
}

function toCell(field: keyof UsageRecord, value: UsageRecord[keyof UsageRecord]): Cell {
  if (value === null) return null
  if (typeof value === 'number') return field === 'cpus' ? value : countable(value)
  if (typeof value === 'object') return storable(JSON.stringify(value))
  return TIMES.has(field) ? epochMs(field, value) : storable(value)
}

/** When a record counts: where it ended, or last was heard of; null while it runs. */
function closedMs(row: readonly Cell[]): Cell {
  if (row[AT.state] === 'RUNNING') return null
  return row[AT.ended_at] ?? row[AT.started_at] ?? row[AT.created_at] ?? null
}

/** Integer columns take no fraction, and JSON counts no further than this. */
const countable = (value: number): number =>
  Number.isSafeInteger(value)
    ? value
    : Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, Math.round(value)))

/** PostgreSQL's texts have no NUL and no half of a surrogate pair; for both databases to agree, none has. */
const storable = (text: string): string =>
  UNSTORABLE.test(text) ? text.replaceAll(UNSTORABLE_ALL, '\ufffd') : text

const UNSTORABLE = /[\0\p{Cs}]/u
const UNSTORABLE_ALL = new RegExp(UNSTORABLE, 'gu')

function epochMs(field: string, text: string): number {
  const parsed = Date.parse(text)
  if (Number.isNaN(parsed))
    throw new HepwrapError('HW_REQUEST_INVALID', `${field} ${quote(text)} is not a time`)
  return parsed
}

export function fromStored(row: StoredRow): UsageRecord {
  const record: Record<string, unknown> = {}
  RECORD_FIELDS.forEach((field, index) => {
    const cell = row[index] ?? null
    if (typeof cell === 'number' && TIMES.has(field)) record[field] = rfc3339(cell)
    else if (field === 'labels' && cell !== null) record[field] = JSON.parse(String(cell))
    else record[field] = cell
  })
  return record as unknown as UsageRecord
}

/** Reports whether two rows are the same record in the same state, whichever ledger told of it. */
export function sameContent(one: StoredRow, other: StoredRow): boolean {
  for (let index = 0; index < CONTENT_CELLS; index++) {
    if (one[index] !== other[index]) return false
  }
  return true
}
