// A batch from its bytes: each line a record, checked field by field; one bad line refuses the whole, and is named.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { HepwrapError, printableJson, quote } from '../base/errors.js'
import type { LedgerRange, SequencedRecord } from '../store/store.js'
import { MAX_BATCH_RECORDS } from '../wire/ingest-api.js'
import { RECORD_FIELDS } from '../wire/record-fields.js'
import type { UsageRecord } from '../wire/usage-api.js'
import { checkRecord } from './record-schema.js'

/** Of which node every record must be; undefined: of the first one's. */
export interface Origin {
  readonly cluster: string
  readonly node: string
}

/** Far more than an honest record takes. */
const MAX_LINE_BYTES = 128 * 1024
/** How much is read in one go: a few milliseconds, while the aggregator does nothing else. */
const BYTES_A_TURN = 128 * 1024
const LINE_FEED = 0x0a

/** Throws HW_BATCH_INVALID with line, field and value; HW_BATCH_TOO_LARGE. */
export async function parseBatch(
  body: Buffer,
  origin: Origin | undefined,
  range: LedgerRange | undefined,
): Promise<readonly SequencedRecord[]> {
  const records: SequencedRecord[] = []
  let of = origin
  let line = 0
  let turnAt = 0
  for (let at = 0; at < body.length;) {
    const found = body.indexOf(LINE_FEED, at)
    const end = found < 0 ? body.length : found
    line++
    if (line > MAX_BATCH_RECORDS)
      throw new HepwrapError(
        'HW_BATCH_TOO_LARGE',
        `the batch has more than ${MAX_BATCH_RECORDS} records`,
      )
    if (end - at > MAX_LINE_BYTES)
      throw fault(line, `the line has ${end - at} bytes; a record has at most ${MAX_LINE_BYTES}`)
    const one = parseLine(body.toString('utf8', at, end), line)
    of ??= one.record
    checkPlace(one, line, of, range)
    records.push(one)
    at = end + 1
    if (at - turnAt < BYTES_A_TURN) continue
    turnAt = at
    await nextTurn()
  }
  return records
}

function parseLine(text: string, line: number): SequencedRecord {
  const given = parseObject(text, line)
  const record: Record<string, unknown> = {}
  // Only what we know, in one order: a newer node's further fields are nothing to us, an older one lacks some.
  for (const field of RECORD_FIELDS) record[field] = given[field] ?? null
  if (!checkRecord.Check(record)) throw fieldFault(record, line)
  const changeSeq = given['change_seq'] ?? 0
  if (typeof changeSeq !== 'number' || !Number.isSafeInteger(changeSeq) || changeSeq < 0)
    throw fault(line, `change_seq must be a whole number from 0 up (${shown(changeSeq)})`)
  cutTexts(record)
  return { record: record as unknown as UsageRecord, changeSeq }
}

/** As long as an honest node lets them become; what is longer is cut, and the record counts all the same. */
const MAX_TEXT = 1024
const MAX_COMMAND = 4096
const MAX_LABELS = 16_384

function cutTexts(record: Record<string, unknown>): void {
  for (const field of RECORD_FIELDS) {
    const value = record[field]
    const most = field === 'command' ? MAX_COMMAND : MAX_TEXT
    if (typeof value === 'string' && value.length > most) record[field] = value.slice(0, most)
  }
  const { labels } = record
  if (
    labels !== null &&
    Object.entries(labels as object)
      .flat()
      .join('').length > MAX_LABELS
  )
    record['labels'] = null
}

function parseObject(text: string, line: number): Readonly<Record<string, unknown>> {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch (cause) {
    throw fault(line, `not JSON, or cut off: ${quote(text, 80)}`, cause)
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    throw fault(line, `not a record: ${quote(text, 80)}`)
  return parsed as Readonly<Record<string, unknown>>
}

function fieldFault(record: Record<string, unknown>, line: number): HepwrapError {
  const first = checkRecord.Errors(record).First()
  const [, field = ''] = first?.path.split('/') ?? []
  const schema = (checkRecord.Schema() as { properties: Record<string, Record<string, unknown>> })
    .properties[field]
  const expects = schema?.['expects']
  return fault(
    line,
    `${field} must be ${typeof expects === 'string' ? expects : 'another value'} (${shown(record[field])})`,
  )
}

function checkPlace(
  { record, changeSeq }: SequencedRecord,
  line: number,
  { cluster, node }: Origin,
  range: LedgerRange | undefined,
): void {
  if (record.cluster !== cluster || record.node !== node)
    throw fault(
      line,
      `the record is of ${quote(`${record.cluster}/${record.node}`)}, the batch of ${quote(`${cluster}/${node}`)}`,
    )
  if (range !== undefined && (changeSeq <= range.after || changeSeq > range.upto))
    throw fault(
      line,
      `change_seq ${changeSeq} is not in the batch's range, from ${range.after + 1} to ${range.upto}`,
    )
}

const shown = (value: unknown): string =>
  typeof value === 'string' ? quote(value, 80) : printableJson(value).slice(0, 80)

const fault = (line: number, text: string, cause?: unknown) =>
  new HepwrapError('HW_BATCH_INVALID', `line ${line}: ${text}`, { cause })
