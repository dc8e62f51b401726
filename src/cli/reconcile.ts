// `hepwrap reconcile`: container totals of each job step beside what Slurm's accounting says of the step.
import { rfc3339, systemClock } from '../base/clock.js'
import { HepwrapError } from '../base/errors.js'
import { createTotals, type ContainerTotals } from '../reports/container-totals.js'
import { FINDINGS, reconcile as compare, type Finding } from '../reports/reconcile.js'
import type { Reconciliation } from '../reports/reconcile.js'
import type { SlurmJob } from '../reports/slurm-jobs.js'
import { readRecords } from './acct.js'
import { AGGREGATOR_OPTIONS, needAggregator, type Aggregator } from './aggregator.js'
import type { Field } from './fields.js'
import { printHelp } from './help.js'
import { LISTING_OPTIONS, planListing, printFields, printRows } from './listing.js'
import { invalid } from './option-values.js'
import { print } from './print.js'
import { askSacct, readSacct } from './sacct.js'
import { formatBytes, formatDuration } from './table.js'
import { parseTimePoint } from './time-point.js'
import { parseVerbLine, refuseOperands, type VerbLine } from './verb-line.js'

const FIELDS: readonly Field<Finding>[] = [
  { name: 'Finding', width: 17, text: ({ kind }) => kind },
  {
    name: 'JobID',
    width: 14,
    text: ({ jobId, stepId }) => (stepId === '' ? String(jobId) : `${jobId}.${stepId}`),
  },
  { name: 'User', width: 10, text: ({ user }) => user },
  { name: 'Account', width: 10, text: ({ account }) => account },
  { name: 'Nodes', width: 12, text: ({ nodes }) => nodes.join(',') },
  { name: 'Containers', width: 10, right: true, text: ({ containers }) => containers },
  {
    name: 'Hepwrap',
    width: 14,
    right: true,
    text: ({ kind, hepwrap }) => measure(kind, hepwrap),
    value: ({ hepwrap }) => hepwrap,
  },
  {
    name: 'Slurm',
    width: 14,
    right: true,
    text: ({ kind, slurm }) => measure(kind, slurm),
    value: ({ slurm }) => slurm,
  },
  { name: 'Cluster', width: 10, text: ({ cluster }) => cluster },
  { name: 'Meaning', width: 72, text: ({ kind }) => FINDINGS[kind] },
]
const LISTING = {
  known: FIELDS,
  table: FIELDS.filter(({ name }) => name !== 'Cluster' && name !== 'Meaning'),
  whole: FIELDS,
}

export async function reconcile(
  args: readonly string[],
  config: string | undefined,
): Promise<number> {
  const line = await parseVerbLine(args, config, [
    { name: 'since', short: 'S', takesValue: true },
    { name: 'starttime', means: 'since', takesValue: true },
    { name: 'until', short: 'E', takesValue: true },
    { name: 'endtime', means: 'until', takesValue: true },
    { name: 'cluster', short: 'M', takesValue: true },
    { name: 'tolerance', takesValue: true },
    { name: 'sacct', takesValue: true },
    ...LISTING_OPTIONS,
    ...AGGREGATOR_OPTIONS,
  ])
  if (line.help) return printHelp('reconcile')
  if (line.has('helpformat')) return printFields(LISTING)
  refuseOperands('reconcile', line)
  const period = parsePeriod(line)
  const tolerance = parseTolerance(line.value('tolerance') ?? '5%')
  const layout = planListing(line, LISTING)
  const aggregator = await needAggregator(line)
  const settledMs = systemClock.nowMs() - ON_THE_WAY_MS
  const jobs = await slurmJobs(line, period, aggregator)
  const { totals, others } = await addUp(aggregator, period, clustersOf(line, jobs))
  const result = compare(totals, jobs, {
    settledMs,
    tolerance,
    sinceMs: Date.parse(period.since),
    untilMs: Date.parse(period.until),
  })
  await printRows(layout, result.findings)
  if (isForPeople(line)) await print(`\n${summary(result, others)}\n`)
  return result.findings.length === 0 ? 0 : DISAGREEMENT
}

const DISAGREEMENT = 1

/** From the end of a step until the aggregator has the last word of its containers, where nothing is amiss. */
const ON_THE_WAY_MS = 15_000

interface Period {
  readonly since: string
  readonly until: string
}

function parsePeriod(line: VerbLine): Period {
  const nowMs = systemClock.nowMs()
  const since = line.value('since')
  if (since === undefined)
    throw new HepwrapError('HW_USAGE', 'reconcile needs --since TIME, like now-1day')
  const untilText = line.value('until')
  const period = {
    since: parseTimePoint('--since', since, nowMs),
    until: untilText === undefined ? rfc3339(nowMs) : parseTimePoint('--until', untilText, nowMs),
  }
  if (period.since < period.until) return period
  throw invalid('--since', since, `is not before --until (${period.until})`)
}

/** "5%", "0.5%", "5" */
function parseTolerance(text: string): number {
  if (!/^\d{1,4}(?:\.\d{1,4})?%?$/.test(text))
    throw invalid('--tolerance', text, 'not a percentage like 5% or 0.5%')
  return Number(text.replace('%', '')) / 100
}

/** Whoever is no operator at the aggregator compares his own. */
async function slurmJobs(
  line: VerbLine,
  period: Period,
  aggregator: Aggregator,
): Promise<readonly SlurmJob[]> {
  const file = line.value('sacct')
  const { operator, user } = await aggregator.ask<{ operator: boolean; user: string | null }>(
    'GET',
    '/v1/whoami',
  )
  const jobs =
    file === undefined
      ? await askSacct({ ...period, cluster: line.value('cluster'), allUsers: operator })
      : readSacct(file)
  return operator ? jobs : jobs.filter((job) => job.user === user)
}

/** Where Slurm names no cluster at all, each record is of a job that it never saw. */
function clustersOf(line: VerbLine, jobs: readonly SlurmJob[]): ReadonlySet<string> | undefined {
  const named = line.value('cluster')
  if (named !== undefined) return new Set(named.split(','))
  return jobs.length === 0 ? undefined : new Set(jobs.map(({ cluster }) => cluster))
}

async function addUp(
  aggregator: Aggregator,
  period: Period,
  clusters: ReadonlySet<string> | undefined,
): Promise<{ totals: ContainerTotals; others: number }> {
  const totals = createTotals()
  let others = 0
  for await (const record of readRecords(aggregator, new URLSearchParams({ ...period }))) {
    if (clusters === undefined || clusters.has(record.cluster)) totals.add(record)
    else others++
  }
  return { totals, others }
}

function measure(kind: Finding['kind'], value: Finding['hepwrap']): string | number | undefined {
  if (typeof value !== 'number') return value
  if (kind === 'cpu-above-step') return formatDuration(value / 1000)
  return kind === 'memory-above-step' ? formatBytes(value) : value
}

const isForPeople = (line: VerbLine): boolean =>
  !['parsable2', 'csv', 'json', 'noheader'].some((name) => line.has(name)) &&
  !['json', 'csv', 'parsable'].includes(line.value('format') ?? '')

function summary(result: Reconciliation, others: number): string {
  const { findings, containers, comparedSteps, comparedJobs, outsideJobs, purgedSteps } = result
  const notes = [
    outsideJobs > 0 ? `${outsideJobs} outside of jobs` : '',
    others > 0 ? `${others} of other clusters (--cluster)` : '',
    purgedSteps > 0 ? `${purgedSteps} steps that Slurm has purged` : '',
  ].filter((note) => note !== '')
  const besides = notes.length === 0 ? '' : `; not compared: ${notes.join(', ')}`
  const verdict = findings.length === 0 ? 'all agree' : `${findings.length} disagreements`
  return `${containers} containers in ${comparedSteps} steps of ${comparedJobs} jobs: ${verdict}${besides}`
}
