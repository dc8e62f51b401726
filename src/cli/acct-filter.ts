// What `hepwrap acct` and its sisters are asked for: sacct's filters → the query of the daemon or the aggregator.
import { systemClock } from '../base/clock.js'
import { matchesGlob } from '../base/glob.js'
import { parseJobId } from '../base/ids.js'
import type { RecordState, UsageRecord } from '../wire/usage-api.js'
import { invalid } from './option-values.js'
import type { OptionSpec } from './options.js'
import { parseTimePoint } from './time-point.js'
import type { VerbLine } from './verb-line.js'

/** `usage` has no jobs and no partitions: the sums do not know them. */
export const USAGE_FILTERS: readonly OptionSpec[] = [
  { name: 'user', short: 'u', takesValue: true },
  { name: 'uid', means: 'user', takesValue: true },
  { name: 'account', short: 'A', takesValue: true },
  { name: 'accounts', means: 'account', takesValue: true },
  { name: 'image', takesValue: true },
  { name: 'node', short: 'N', takesValue: true },
  { name: 'nodelist', means: 'node', takesValue: true },
  { name: 'cluster', short: 'M', takesValue: true },
  { name: 'clusters', means: 'cluster', takesValue: true },
  { name: 'state', short: 's', takesValue: true },
  { name: 'since', short: 'S', takesValue: true },
  { name: 'starttime', means: 'since', takesValue: true },
  { name: 'until', short: 'E', takesValue: true },
  { name: 'endtime', means: 'until', takesValue: true },
]

export const RECORD_FILTERS: readonly OptionSpec[] = [
  ...USAGE_FILTERS,
  { name: 'job', short: 'j', takesValue: true },
  { name: 'jobs', means: 'job', takesValue: true },
  { name: 'partition', short: 'r', takesValue: true },
]

const NAMES = ['user', 'account', 'image', 'node', 'cluster', 'partition'] as const

export function planQuery(line: VerbLine): URLSearchParams {
  const query = new URLSearchParams()
  const nowMs = systemClock.nowMs()
  const add = (name: string, parse: (value: string) => string) => {
    const value = line.value(name)
    if (value === '') throw invalid(`--${name}`, value, 'is empty')
    if (value !== undefined) query.set(name, parse(value))
  }
  add('job', parseJobs)
  add('since', (value) => parseTimePoint('--since', value, nowMs))
  add('until', (value) => parseTimePoint('--until', value, nowMs))
  add('state', parseStates)
  for (const name of NAMES) add(name, (value) => parseNames(`--${name}`, value))
  refuseBackwards(query, line)
  return query
}

function refuseBackwards(query: URLSearchParams, line: VerbLine): void {
  const [since, until] = [query.get('since'), query.get('until')]
  if (since === null || until === null || since <= until) return
  throw invalid('--until', line.value('until') ?? '', `is before --since (${since})`)
}

const JOB_LIST = /^\d{1,10}(,\d{1,10}){0,99}$/

function parseJobs(value: string): string {
  const isList =
    JOB_LIST.test(value) && value.split(',').every((id) => parseJobId(id) !== undefined)
  if (isList) return value
  throw invalid('--job', value, 'not a job id, nor a list like 41,42')
}

// sacct's short forms beside our words; keyed by the word so that a new state cannot be forgotten.
const STATES: Readonly<Record<RecordState, string>> = {
  RUNNING: 'R',
  COMPLETED: 'CD',
  FAILED: 'F',
  CANCELLED: 'CA',
  TIMEOUT: 'TO',
  OUT_OF_MEMORY: 'OOM',
  NODE_FAIL: 'NF',
  REFUSED: '',
}

/** "failed,TO" → "FAILED,TIMEOUT" */
function parseStates(value: string): string {
  const states = value.split(',').map((word) => {
    const wanted = word.toUpperCase()
    const found = Object.entries(STATES).find(
      ([state, short]) => wanted !== '' && (wanted === state || wanted === short),
    )
    if (found !== undefined) return found[0]
    throw invalid('--state', value, `must be one of ${Object.keys(STATES).join(', ')}`)
  })
  return states.join(',')
}

function parseNames(option: string, value: string): string {
  if (value.split(',').every((name) => name !== '')) return value
  throw invalid(option, value, 'has an empty name in its list')
}

export interface LocalQuery {
  readonly query: URLSearchParams
  readonly isWanted: (record: UsageRecord) => boolean
}

/** What the node's own daemon filters, and what is left to us: its ledger knows one user and no lists. */
export function splitForLedger(whole: URLSearchParams): LocalQuery {
  const query = new URLSearchParams(whole)
  const conditions: ((record: UsageRecord) => boolean)[] = []
  for (const name of NAMES) {
    const value = whole.get(name)
    const isKnown = name === 'image' || (name === 'user' && !/[*?]/.test(value ?? ''))
    if (value === null || (isKnown && !value.includes(','))) continue
    query.delete(name)
    const patterns = value.split(',')
    conditions.push((record) => {
      const names = name === 'user' ? [record.user, String(record.uid)] : [record[name]]
      return patterns.some((pattern) =>
        names.some((one) => one !== null && matchesGlob(one, pattern)),
      )
    })
  }
  return { query, isWanted: (record) => conditions.every((holds) => holds(record)) }
}
