// `hepwrap acct`: accounting records, of this node or of all. They stream through: never are all of them in memory.
import { HepwrapError, quote } from '../base/errors.js'
import type { UsageRecord } from '../wire/usage-api.js'
import { planQuery, RECORD_FILTERS, splitForLedger } from './acct-filter.js'
import { AGGREGATOR_OPTIONS, findAggregator, type Aggregator } from './aggregator.js'
import { readLines } from './daemon-api.js'
import { printHelp } from './help.js'
import { LISTING_OPTIONS, planListing, printFields, printRows } from './listing.js'
import { ACCT_FIELDS, ALL_FIELDS, TABLE_FIELDS } from './record-fields.js'
import { parseVerbLine, refuseOperands } from './verb-line.js'

const FIELDS = { known: ACCT_FIELDS, table: TABLE_FIELDS, whole: ALL_FIELDS }

export async function acct(args: readonly string[], config: string | undefined): Promise<number> {
  const line = await parseVerbLine(args, config, [
    ...RECORD_FILTERS,
    ...LISTING_OPTIONS,
    ...AGGREGATOR_OPTIONS,
    { name: 'local', takesValue: false },
    { name: 'allusers', short: 'a', takesValue: false },
  ])
  if (line.help) return printHelp('acct')
  if (line.has('helpformat')) return printFields(FIELDS)
  refuseOperands('acct', line)
  const query = planQuery(line)
  const layout = planListing(line, FIELDS)
  if (line.has('local')) refuseBoth(line.value('aggregator'))
  const aggregator = line.has('local') ? undefined : await findAggregator(line)
  if (line.has('allusers')) await refuseToOthers(aggregator)
  await printRows(
    layout,
    aggregator === undefined
      ? readLedger(line.socketPath, query)
      : orLocally(readRecords(aggregator, query)),
  )
  return 0
}

/** Where the aggregator is down, its nodes still know their own. */
async function* orLocally(records: AsyncIterable<UsageRecord>): AsyncGenerator<UsageRecord> {
  try {
    yield* records
  } catch (error) {
    if (!(error instanceof HepwrapError) || error.code !== 'HW_AGGREGATOR_DOWN') throw error
    const text = `${error.message}; "hepwrap acct --local" shows what this node itself knows`
    throw new HepwrapError(error.code, text, { cause: error })
  }
}

function refuseBoth(url: string | undefined): void {
  if (url === undefined) return
  throw new HepwrapError('HW_USAGE', `--local and --aggregator ${quote(url)}: choose one`)
}

async function refuseToOthers(aggregator: Aggregator | undefined): Promise<void> {
  const mayReadAll =
    aggregator === undefined
      ? process.getuid?.() === 0
      : (await aggregator.ask<{ operator: boolean }>('GET', '/v1/whoami')).operator
  if (mayReadAll) return
  throw new HepwrapError(
    aggregator === undefined ? 'HW_ROOT_ONLY' : 'HW_NOT_OPERATOR',
    `--allusers: other users' records are for ${aggregator === undefined ? 'root' : 'operators'} alone`,
  )
}

/** Records at the aggregator, as they come. */
export async function* readRecords(
  aggregator: Aggregator,
  query: URLSearchParams,
): AsyncGenerator<UsageRecord> {
  for await (const text of aggregator.lines(`/v1/records?${query.toString()}`))
    yield parseRecord(text)
}

async function* readLedger(
  socketPath: string,
  whole: URLSearchParams,
): AsyncGenerator<UsageRecord> {
  const { query, isWanted } = splitForLedger(whole)
  for await (const text of readLines(socketPath, `/v1/records?${query.toString()}`)) {
    const record = parseRecord(text)
    if (isWanted(record)) yield record
  }
}

function parseRecord(text: string): UsageRecord {
  try {
    return JSON.parse(text) as UsageRecord
  } catch {
    throw new HepwrapError('HW_INTERNAL', `what came is no record: ${quote(text, 80)}`)
  }
}
