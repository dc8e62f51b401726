// `hepwrap report`: what users, accounts, images … used, summed by the aggregator, over all or by periods.
import { HepwrapError, quote } from '../base/errors.js'

import type { UsageKey, UsageRow } from '../wire/report-api.js'
import { planQuery, USAGE_FILTERS } from './acct-filter.js'
import { AGGREGATOR_OPTIONS, needAggregator } from './aggregator.js'
import { printHelp } from './help.js'
import { LISTING_OPTIONS, planListing, printFields, printRows } from './listing.js'
import { invalid } from './option-values.js'
import { nearest } from './options.js'
import { usageFields } from './usage-fields.js'
import { parseVerbLine, type VerbLine } from './verb-line.js'

const SUBJECTS: Readonly<Record<string, UsageKey>> = {
  users: 'user',
  accounts: 'account',
  images: 'image',
  nodes: 'node',
  clusters: 'cluster',
  states: 'state',
}

const PERIODS = ['hour', 'day', 'week', 'month'] as const satisfies readonly UsageKey[]

/** What people call it → what the aggregator does. */
const SORTS: Readonly<Record<string, string>> = {
  runs: 'runs',
  failed: 'failed',
  cpu: 'cpu_usec',
  cpuhours: 'cpu_usec',
  alloc: 'alloc_cpu_usec',
  allochours: 'alloc_cpu_usec',
  memory: 'memory_mib_s',
  memgibhours: 'memory_mib_s',
  io: 'io_bytes',
  wall: 'elapsed_ms',
  wallhours: 'elapsed_ms',
}

const MAX_TOP = 100_000

export async function report(args: readonly string[], config: string | undefined): Promise<number> {
  const line = await parseVerbLine(args, config, [
    ...USAGE_FILTERS,
    ...LISTING_OPTIONS,
    ...AGGREGATOR_OPTIONS,
    { name: 'by', takesValue: true },
    { name: 'top', takesValue: true },
    { name: 'sort', takesValue: true },
  ])
  if (line.help) return printHelp('report')
  const by = [...parsePeriod(line), ...parseSubjects(line)]
  const fields = usageFields(by)
  if (line.has('helpformat')) return printFields(fields)
  const query = planQuery(line)
  if (by.length > 0) query.set('by', by.join(','))
  planTop(line, query)
  const layout = planListing(line, fields)
  const aggregator = await needAggregator(line)
  await printRows(
    layout,
    await aggregator.ask<readonly UsageRow[]>('GET', `/v1/usage?${query.toString()}`),
  )
  return 0
}

/** "users", "users,images", "total"; users if nothing is said. */
function parseSubjects({ operands: [first = 'users', second] }: VerbLine): UsageKey[] {
  if (second !== undefined)
    throw new HepwrapError('HW_USAGE', `report takes one argument, got ${quote(second)} besides`)
  if (first === 'total') return []
  const words = first.split(',')
  const keys = words.map((word) => {
    const plural = Object.hasOwn(SUBJECTS, `${word}s`) ? `${word}s` : word
    const key = Object.hasOwn(SUBJECTS, plural) ? SUBJECTS[plural] : undefined
    if (key === undefined) throw unknownSubject(word)
    return key
  })
  return [...new Set(keys)]
}

function unknownSubject(word: string): HepwrapError {
  const names = [...Object.keys(SUBJECTS), 'total']
  const near = nearest(word, names)
  const hint = near === undefined ? `one of ${names.join(', ')}` : `did you mean "${near}"?`
  return new HepwrapError('HW_USAGE', `report of ${quote(word)}: ${hint}`)
}

function parsePeriod(line: VerbLine): UsageKey[] {
  const value = line.value('by')
  if (value === undefined) return []
  const period = PERIODS.find((one) => one === value)
  if (period === undefined) throw invalid('--by', value, `must be one of ${PERIODS.join(', ')}`)
  return [period]
}

/** Sorted is as much as the top of all. */
function planTop(line: VerbLine, query: URLSearchParams): void {
  const [top, sort] = [line.value('top'), line.value('sort')]
  if (top !== undefined && !(/^\d{1,6}$/.test(top) && Number(top) >= 1 && Number(top) <= MAX_TOP))
    throw invalid('--top', top, `not a number from 1 to ${MAX_TOP}`)
  const name = sort ?? (top === undefined ? undefined : 'cpu')
  if (name === undefined) return
  const wanted = Object.hasOwn(SORTS, name.toLowerCase()) ? SORTS[name.toLowerCase()] : undefined
  const sum = wanted ?? Object.values(SORTS).find((one) => one === name)
  if (sum === undefined)
    throw invalid('--sort', name, 'must be one of runs, failed, cpu, alloc, memory, io, wall')
  query.set('sort', sum)
  query.set('top', top ?? String(MAX_TOP))
}
