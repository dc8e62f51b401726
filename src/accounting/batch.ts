// A batch as it goes over the wire: the next changes of the ledger as NDJSON, read a page at a time, because the daemon does
// other things between two pages.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { MAX_BATCH_BYTES, MAX_BATCH_RECORDS, type BatchLine } from '../wire/ingest-api.js'
import type { Outbox, SequencedRecord } from './outbox.js'

export interface LedgerBatch {
  readonly after: number
  readonly upto: number
  readonly records: readonly SequencedRecord[]
  readonly body: string
  /** There may be more behind it. */
  readonly isFull: boolean
}

/** A page takes about a millisecond to read and write out. */
const PAGE_ROWS = 100
export const MOST_ROWS = Math.min(2000, MAX_BATCH_RECORDS)
/** The batch is closed after the page that passes this; a page of the longest records is far from the rest of the limit. */
const ENOUGH_BYTES = MAX_BATCH_BYTES / 4

/** At most `rows` records from behind what is acknowledged; there may be none. */
export async function nextBatch(outbox: Outbox, rows: number): Promise<LedgerBatch> {
  const after = outbox.acked()
  const records: SequencedRecord[] = []
  const lines: string[] = []
  let bytes = 0
  let upto = after
  for (;;) {
    const wanted = Math.min(PAGE_ROWS, rows - records.length)
    const page = outbox.read(upto, wanted)
    const text = page.records.map(lineOf).join('')
    records.push(...page.records)
    lines.push(text)
    bytes += Buffer.byteLength(text)
    upto = page.upto
    const isFull = records.length >= rows || bytes > ENOUGH_BYTES
    if (isFull || page.records.length < wanted)
      return { after, upto, records, body: lines.join(''), isFull }
    await nextTurn()
  }
}

function lineOf({ record, changeSeq }: SequencedRecord): string {
  const line: BatchLine = { ...record, change_seq: changeSeq }
  return `${JSON.stringify(line)}\n`
}
