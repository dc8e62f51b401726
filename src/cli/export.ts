// `hepwrap export`: usage for other accounting systems: job records of the EGI, and sums as CSV and NDJSON.
import { rfc3339, systemClock } from '../base/clock.js'
import { HepwrapError, quote } from '../base/errors.js'
import { APEL_HEADER, collectApelJobs, scoresOf, type ApelSite } from '../reports/apel.js'
import type { NodeRow } from '../wire/ingest-api.js'
import type { UsageRow } from '../wire/report-api.js'
import type { UsageRecord } from '../wire/usage-api.js'
import { planQuery, USAGE_FILTERS } from './acct-filter.js'
import { readRecords } from './acct.js'
import { AGGREGATOR_OPTIONS, needAggregator, type Aggregator } from './aggregator.js'
import { layOut } from './fields.js'
import { printHelp } from './help.js'
import { printRows } from './listing.js'
import { invalid } from './option-values.js'
import { openOutgoing, type Outgoing } from './outgoing.js'
import { print } from './print.js'
import { isUsageKey, usageFields } from './usage-fields.js'
import { parseVerbLine, refuseOperands, type VerbLine } from './verb-line.js'

const FORMATS = ['apel', 'csv', 'ndjson'] as const

export async function exportUsage(
  args: readonly string[],
  config: string | undefined,
): Promise<number> {
  const line = await parseVerbLine(args, config, [
    { name: 'format', short: 'f', takesValue: true },
    { name: 'by', takesValue: true },
    { name: 'site', takesValue: true },
    { name: 'submit-host', takesValue: true },
    { name: 'vo', takesValue: true },
    { name: 'infrastructure', takesValue: true },
    { name: 'default-hepscore', takesValue: true },
    { name: 'outgoing', takesValue: true },
    ...USAGE_FILTERS,
    ...AGGREGATOR_OPTIONS,
  ])
  if (line.help) return printHelp('export')
  refuseOperands('export', line)
  const format = oneOf('--format', line.value('format') ?? '', FORMATS)
  const query = planQuery(line)
  if (query.get('since') === null)
    throw new HepwrapError('HW_USAGE', 'export needs --since TIME, like 2026-01-01')
  if (format === 'apel') await exportApel(line, query)
  else await exportSums(line, query, format)
  return 0
}

const DEFAULT_KEYS = 'day,cluster,user,account'

async function exportSums(
  line: VerbLine,
  query: URLSearchParams,
  format: 'csv' | 'ndjson',
): Promise<void> {
  const text = line.value('by') ?? DEFAULT_KEYS
  const by = text.split(',')
  if (!by.every(isUsageKey)) throw invalid('--by', text, 'not a list like day,cluster,user,account')
  query.set('by', text)
  const { whole } = usageFields(by)
  const aggregator = await needAggregator(line)
  const rows = await aggregator.ask<readonly UsageRow[]>('GET', `/v1/usage?${query.toString()}`)
  await printRows(layOut(format, whole, { header: true }), rows)
}

/** Nothing is printed before all of it is known to be good. */
async function exportApel(line: VerbLine, query: URLSearchParams): Promise<void> {
  if (line.value('by') !== undefined) throw invalid('--by', line.value('by') ?? '', 'is for sums')
  const site = parseSite(line)
  const perCore = parseScore(line.value('default-hepscore'))
  if (query.get('until') === null) query.set('until', rfc3339(systemClock.nowMs()))
  const aggregator = await needAggregator(line)
  await requireOperator(aggregator)
  const nodes = await aggregator.ask<readonly NodeRow[]>('GET', '/v1/nodes')
  const jobs = collectApelJobs(scoresOf(nodes, perCore))
  for await (const record of endedWithin(aggregator, query)) jobs.add(record)
  refuseUnknown(jobs.unknownNodes)
  const outgoing = line.value('outgoing')
  if (outgoing === undefined) await printMessage(jobs.records(site))
  else await queueMessages(openOutgoing(outgoing, systemClock.nowMs()), jobs.records(site))
}

/** His own jobs alone would pass for the site's. */
async function requireOperator(aggregator: Aggregator): Promise<void> {
  const { user, operator } = await aggregator.ask<Viewer>('GET', '/v1/whoami')
  if (operator) return
  const why = 'a site reports all of its jobs'
  throw new HepwrapError(
    'HW_NOT_OPERATOR',
    `${quote(user)} is no operator of the aggregator ${aggregator.url}, and ${why}`,
  )
}

interface Viewer {
  readonly user: string
  readonly operator: boolean
}

async function printMessage(records: Iterable<string>): Promise<void> {
  let text = `${APEL_HEADER}\n`
  for (const record of records) {
    text += record
    if (text.length < PRINT_CHARACTERS) continue
    await print(text)
    text = ''
  }
  await print(text)
}

/** As many records a message as APEL's own client sends. */
const MESSAGE_RECORDS = 1000

async function queueMessages(outgoing: Outgoing, records: Iterable<string>): Promise<void> {
  let some: string[] = []
  let count = 0
  const put = () => {
    if (some.length > 0) outgoing.put(`${APEL_HEADER}\n${some.join('')}`)
    some = []
  }
  for (const record of records) {
    some.push(record)
    count++
    if (some.length === MESSAGE_RECORDS) put()
  }
  put()
  await print(`${count} job records in ${outgoing.count} messages\n`)
}

const PRINT_CHARACTERS = 64 * 1024

/** A container belongs to the period in which it ended: since ≤ end < until. */
async function* endedWithin(
  aggregator: Aggregator,
  query: URLSearchParams,
): AsyncGenerator<UsageRecord> {
  const [since, until] = [query.get('since') ?? '', query.get('until') ?? '']
  for await (const record of readRecords(aggregator, query)) {
    const { ended_at: end } = record
    if (end !== null && end >= since && end < until && record.state !== 'RUNNING') yield record
  }
}

function parseSite(line: VerbLine): ApelSite {
  const site = line.value('site')
  if (site === undefined)
    throw new HepwrapError(
      'HW_USAGE',
      "--format apel needs --site NAME, the site's name in the GOCDB",
    )
  const vo = oneOf('--vo', line.value('vo') ?? 'none', ['none', 'account', 'group'])
  return {
    site: printable('--site', site),
    submitHost: optional(line, 'submit-host'),
    vo,
    infrastructure: oneOf(
      '--infrastructure',
      line.value('infrastructure') ?? (vo === 'none' ? 'local' : 'grid'),
      ['grid', 'local'],
    ),
  }
}

function optional(line: VerbLine, name: string): string | undefined {
  const value = line.value(name)
  return value === undefined ? undefined : printable(`--${name}`, value)
}

function printable(option: string, value: string): string {
  if (/^[!-~]{1,255}$/.test(value) && !value.includes('%%')) return value
  throw invalid(option, value, 'must be 1 to 255 printable ASCII characters without a space')
}

function oneOf<Word extends string>(option: string, value: string, words: readonly Word[]): Word {
  const found = words.find((word) => word === value)
  if (found !== undefined) return found
  throw invalid(option, value, `must be one of ${words.join(', ')}`)
}

function parseScore(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const score = /^\d{1,6}(?:\.\d{1,6})?$/.test(text) ? Number(text) : 0
  if (score > 0) return score
  throw invalid('--default-hepscore', text, 'not the HEPscore23 of one core, like 17.5')
}

const SHOWN_NODES = 10

function refuseUnknown(nodes: ReadonlySet<string>): void {
  if (nodes.size === 0) return
  const names = [...nodes].sort()
  const more = names.length > SHOWN_NODES ? ` and ${names.length - SHOWN_NODES} more` : ''
  throw new HepwrapError(
    'HW_HEPSCORE_UNKNOWN',
    `no HEPscore23 is known of ${names.slice(0, SHOWN_NODES).join(', ')}${more}; set it there, or give --default-hepscore PER-CORE`,
  )
}
