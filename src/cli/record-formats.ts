// Accounting records as text: table for people, json, csv and parsable for programs. One record in, one line out.
import type { UsageRecord } from '../wire/usage-api.js'
import { RECORD_FIELDS } from '../wire/record-fields.js'
import { formatBytes, formatDuration, tableHead, tableRow, type Column } from './table.js'

export interface RecordFormat {
  readonly head: string
  row(record: UsageRecord): string
  tail(): string
}

export const FORMATS: Readonly<Record<string, () => RecordFormat>> = {
  table: () => ({
    head: tableHead(TABLE),
    row: (record) => tableRow(TABLE, record),
    tail: () => '',
  }),
  json: formatJson,
  csv: () => formatLines(',', quoteCsv),
  parsable: () => formatLines('|', escapeParsable),
}

const TABLE: readonly Column<UsageRecord>[] = [
  { title: 'ID', width: 12, cell: ({ id }) => id.slice(0, 12) },
  { title: 'JobID', width: 14, cell: slurmName },
  { title: 'User', width: 10, cell: ({ user, uid }) => user ?? uid },
  { title: 'Account', width: 10, cell: ({ account }) => account },
  { title: 'Node', width: 10, cell: ({ node }) => node },
  { title: 'Image', width: 24, cell: ({ image }) => image },
  { title: 'State', width: 13, cell: ({ state }) => state },
  { title: 'ExitCode', width: 8, right: true, cell: exitCode },
  { title: 'Start', width: 20, cell: ({ started_at }) => started_at?.replace(/\.\d+/, '') ?? '' },
  { title: 'Elapsed', width: 10, right: true, cell: elapsed },
  { title: 'CPUTime', width: 10, right: true, cell: cpuTime },
  {
    title: 'MaxMem',
    width: 6,
    right: true,
    cell: ({ memory_peak_bytes: peak }) => peak && formatBytes(peak),
  },
  { title: 'Reason', width: 22, cell: ({ reason }) => reason },
]

/** "42.0", "42.batch", of an array "40_7.0". */
function slurmName({ job_id, step_id, array_job_id, array_task_id }: UsageRecord): string {
  if (job_id === null) return ''
  const job =
    array_job_id === null || array_task_id === null ? job_id : `${array_job_id}_${array_task_id}`
  return step_id === null ? String(job) : `${job}.${step_id}`
}

/** As sacct: status:signal. */
function exitCode({ exit_code, signal }: UsageRecord): string {
  return exit_code === null && signal === null ? '' : `${exit_code ?? 0}:${signal ?? 0}`
}

function elapsed({ started_at, ended_at }: UsageRecord): string {
  if (started_at === null || ended_at === null) return ''
  return formatDuration(Date.parse(ended_at) - Date.parse(started_at))
}

function cpuTime({ cpu_user_usec: user, cpu_system_usec: system }: UsageRecord): string {
  if (user === null && system === null) return ''
  return formatDuration(((user ?? 0) + (system ?? 0)) / 1000)
}

function formatJson(): RecordFormat {
  let count = 0
  return {
    head: '[',
    row: (record) => {
      const text = JSON.stringify(
        Object.fromEntries(RECORD_FIELDS.map((field) => [field, record[field]])),
      )
      return `${count++ === 0 ? '' : ','}\n${escapeControls(text)}`
    },
    tail: () => (count === 0 ? ']\n' : '\n]\n'),
  }
}

const formatLines = (separator: string, escape: (text: string) => string): RecordFormat => ({
  head: `${RECORD_FIELDS.join(separator)}\n`,
  row: (record) =>
    `${RECORD_FIELDS.map((field) => escape(plainText(record[field]))).join(separator)}\n`,
  tail: () => '',
})

const plainText = (value: UsageRecord[keyof UsageRecord] | undefined): string =>
  value === null || value === undefined
    ? ''
    : typeof value === 'object'
      ? JSON.stringify(value)
      : String(value)

/** RFC 4180, with control characters as \uXXXX: a record is one line, and none steers a terminal. */
function quoteCsv(text: string): string {
  const safe = escapeControls(text)
  return /[",]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}

/** "|" and "\" with a backslash in front. */
const escapeParsable = (text: string): string => escapeControls(text.replace(/[\\|]/g, '\\$&'))

const escapeControls = (text: string): string =>
  text.replace(
    /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    escapeUnicode,
  )

const escapeUnicode = (char: string) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
