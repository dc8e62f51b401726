// `hepwrap acct`: accounting records. They stream through: never are all of them in memory.
import { systemClock } from '../base/clock.js'
import { HepwrapError, quote } from '../base/errors.js'
import { parseJobId } from '../base/ids.js'
import type { UsageRecord } from '../wire/usage-api.js'
import { readLines } from './daemon-api.js'
import { printHelp } from './help.js'
import { invalid } from './option-values.js'
import type { OptionSpec } from './options.js'
import { print } from './print.js'
import { FORMATS } from './record-formats.js'
import { parseTimePoint } from './time-point.js'
import { parseVerbLine, refuseOperands, type VerbLine } from './verb-line.js'

const OPTIONS: readonly OptionSpec[] = [
  { name: 'job', short: 'j', takesValue: true },
  { name: 'user', short: 'u', takesValue: true },
  { name: 'since', short: 'S', takesValue: true },
  { name: 'until', short: 'E', takesValue: true },
  { name: 'state', short: 's', takesValue: true },
  { name: 'image', takesValue: true },
  { name: 'format', short: 'f', takesValue: true },
]

export async function acct(args: readonly string[], config: string | undefined): Promise<number> {
  const line = await parseVerbLine(args, config, OPTIONS)
  if (line.help) return printHelp('acct')
  refuseOperands('acct', line)
  const name = line.value('format') ?? 'table'
  const format = Object.hasOwn(FORMATS, name) ? FORMATS[name]?.() : undefined
  if (format === undefined) {
    throw invalid('--format', name, `must be one of ${Object.keys(FORMATS).join(', ')}`)
  }
  const path = `/v1/records?${planQuery(line).toString()}`
  let text = format.head
  for await (const record of readLines(line.socketPath, path)) {
    text += format.row(parseRecord(record))
    if (text.length < PRINT_CHARACTERS) continue
    await print(text)
    text = ''
  }
  await print(text + format.tail())
  return 0
}

const PRINT_CHARACTERS = 64 * 1024

const JOB_LIST = /^\d{1,10}(,\d{1,10}){0,99}$/

function planQuery(line: VerbLine): URLSearchParams {
  const query = new URLSearchParams()
  const nowMs = systemClock.nowMs()
  const add = (name: string, parse: (value: string) => string) => {
    const value = line.value(name)
    if (value === '') throw invalid(`--${name}`, value, 'is empty')
    if (value !== undefined) query.set(name, parse(value))
  }
  add('job', parseJobs)
  add('user', (value) => value)
  add('since', (value) => parseTimePoint('--since', value, nowMs))
  add('until', (value) => parseTimePoint('--until', value, nowMs))
  add('state', parseState)
  add('image', (value) => value)
  return query
}

function parseJobs(value: string): string {
  const isList =
    JOB_LIST.test(value) && value.split(',').every((id) => parseJobId(id) !== undefined)
  if (isList) return value
  throw invalid('--job', value, 'not a job id, nor a list like 41,42')
}

// sacct's short forms beside our words; keyed by the word so that a new state cannot be forgotten.
const STATES: Readonly<Record<UsageRecord['state'], string>> = {
  RUNNING: 'R',
  COMPLETED: 'CD',
  FAILED: 'F',
  CANCELLED: 'CA',
  TIMEOUT: 'TO',
  OUT_OF_MEMORY: 'OOM',
  NODE_FAIL: 'NF',
  REFUSED: '',
}

function parseState(value: string): string {
  const word = value.toUpperCase()
  for (const [state, short] of Object.entries(STATES))
    if (word === state || word === short) return state
  throw invalid('--state', value, `must be one of ${Object.keys(STATES).join(', ')}`)
}

function parseRecord(text: string): UsageRecord {
  try {
    return JSON.parse(text) as UsageRecord
  } catch {
    throw new HepwrapError('HW_INTERNAL', `hepwrapd sent what is no record: ${quote(text, 80)}`)
  }
}
