// The fields of `hepwrap acct`: sacct's names where it has them, and each field of the record under its own name.
import { RECORD_FIELDS } from '../wire/record-fields.js'
import type { UsageRecord } from '../wire/usage-api.js'
import { parseFieldList, type Field } from './fields.js'
import { formatBytes, formatDuration } from './table.js'

type RecordField = Field<UsageRecord>

const bytes = (value: number | null) => (value === null ? null : formatBytes(value))
const seconds = (time: string | null) => time?.replace(/\.\d+/, '') ?? null

/** What sacct would say, or would if it knew of containers. */
const SACCT_FIELDS: readonly RecordField[] = [
  { name: 'ID', width: 12, text: ({ id }) => id, brief: ({ id }) => id.slice(0, 12) },
  { name: 'JobID', width: 14, text: slurmName },
  { name: 'JobIDRaw', width: 14, text: ({ job_id, step_id }) => stepName(job_id, step_id) },
  { name: 'JobName', width: 10, text: ({ name }) => name },
  { name: 'User', width: 10, text: ({ user, uid }) => user ?? uid },
  { name: 'UID', width: 6, right: true, text: ({ uid }) => uid },
  { name: 'Group', width: 10, text: ({ group, gid }) => group ?? gid },
  { name: 'GID', width: 6, right: true, text: ({ gid }) => gid },
  { name: 'Account', width: 10, text: ({ account }) => account },
  { name: 'Partition', width: 10, text: ({ partition }) => partition },
  { name: 'Cluster', width: 10, text: ({ cluster }) => cluster },
  { name: 'Node', width: 10, text: ({ node }) => node },
  { name: 'Image', width: 24, text: ({ image }) => image },
  { name: 'Command', width: 24, text: ({ command }) => command },
  { name: 'State', width: 13, text: ({ state }) => state },
  { name: 'ExitCode', width: 8, right: true, text: exitCode },
  {
    name: 'Submit',
    width: 20,
    text: ({ created_at }) => seconds(created_at),
    value: ({ created_at }) => created_at,
  },
  {
    name: 'Start',
    width: 20,
    text: ({ started_at }) => seconds(started_at),
    value: ({ started_at }) => started_at,
  },
  {
    name: 'End',
    width: 20,
    text: ({ ended_at }) => seconds(ended_at),
    value: ({ ended_at }) => ended_at,
  },
  {
    name: 'Elapsed',
    width: 10,
    right: true,
    text: (record) => duration(elapsedMs(record)),
  },
  {
    name: 'ElapsedRaw',
    width: 10,
    right: true,
    text: (record) => wholeSeconds(elapsedMs(record)),
  },
  { name: 'NCPUS', width: 5, right: true, text: ({ cpus }) => cpus },
  { name: 'AllocCPUS', width: 9, right: true, text: ({ cpus }) => cpus },
  { name: 'CPUTime', width: 10, right: true, text: (record) => duration(allocatedMs(record)) },
  {
    name: 'CPUTimeRAW',
    width: 10,
    right: true,
    text: (record) => wholeSeconds(allocatedMs(record)),
  },
  {
    name: 'TotalCPU',
    width: 12,
    right: true,
    text: (record) => cpuTime(usedMs(record)),
    value: (record) => milli(usedMs(record)),
  },
  {
    name: 'UserCPU',
    width: 12,
    right: true,
    text: ({ cpu_user_usec: usec }) => cpuTime(usec === null ? null : usec / 1000),
    value: ({ cpu_user_usec: usec }) => milli(usec === null ? null : usec / 1000),
  },
  {
    name: 'SystemCPU',
    width: 12,
    right: true,
    text: ({ cpu_system_usec: usec }) => cpuTime(usec === null ? null : usec / 1000),
    value: ({ cpu_system_usec: usec }) => milli(usec === null ? null : usec / 1000),
  },
  {
    name: 'Efficiency',
    width: 10,
    right: true,
    text: (record) => percent(efficiency(record)),
    value: (record) => efficiency(record),
  },
  {
    name: 'MaxMem',
    width: 6,
    right: true,
    text: ({ memory_peak_bytes: peak }) => bytes(peak),
    value: ({ memory_peak_bytes: peak }) => peak,
  },
  {
    name: 'ReqMem',
    width: 6,
    right: true,
    text: ({ memory_limit_bytes: limit }) => bytes(limit),
    value: ({ memory_limit_bytes: limit }) => limit,
  },
  {
    name: 'DiskRead',
    width: 8,
    right: true,
    text: ({ io_read_bytes: read }) => bytes(read),
    value: ({ io_read_bytes: read }) => read,
  },
  {
    name: 'DiskWrite',
    width: 9,
    right: true,
    text: ({ io_write_bytes: written }) => bytes(written),
    value: ({ io_write_bytes: written }) => written,
  },
  { name: 'AllocGRES', width: 10, text: ({ gres }) => gres },
  { name: 'Reason', width: 22, text: ({ reason }) => reason },
  { name: 'Rule', width: 24, text: ({ rule }) => rule },
]

/** The contract's own words: values as the record has them. */
const OWN_FIELDS: readonly RecordField[] = RECORD_FIELDS.map((name) => ({
  name,
  width: Math.max(10, name.length),
  text: (record: UsageRecord) => {
    const value = record[name]
    return typeof value === 'object' && value !== null ? JSON.stringify(value) : value
  },
  value: (record: UsageRecord) => record[name],
}))

const sacctNames = new Set(SACCT_FIELDS.map(({ name }) => name.toLowerCase()))

/** Of a name that both have (user, state, image …) sacct's stands for it in tables; the values are the same. */
export const ACCT_FIELDS: readonly RecordField[] = [
  ...SACCT_FIELDS,
  ...OWN_FIELDS.filter(({ name }) => !sacctNames.has(name)),
]

export const TABLE_FIELDS = parseFieldList(
  'ID,JobID,User,Account,Node,Image,State,ExitCode,Start,Elapsed,TotalCPU,MaxMem,Reason',
  ACCT_FIELDS,
)

export const ALL_FIELDS = OWN_FIELDS

/** "42.0", "42.batch", of an array "40_7.0". */
function slurmName({ job_id, step_id, array_job_id, array_task_id }: UsageRecord): string {
  const isArray = job_id !== null && array_job_id !== null && array_task_id !== null
  return stepName(isArray ? `${array_job_id}_${array_task_id}` : job_id, step_id)
}

const stepName = (job: number | string | null, step: string | null): string =>
  job === null ? '' : step === null ? String(job) : `${job}.${step}`

/** As sacct: status:signal. */
function exitCode({ exit_code, signal }: UsageRecord): string | null {
  return exit_code === null && signal === null ? null : `${exit_code ?? 0}:${signal ?? 0}`
}

function elapsedMs({ started_at, ended_at }: UsageRecord): number | null {
  if (started_at === null || ended_at === null) return null
  return Math.max(0, Date.parse(ended_at) - Date.parse(started_at))
}

function allocatedMs(record: UsageRecord): number | null {
  const elapsed = elapsedMs(record)
  return elapsed === null || record.cpus === null ? null : elapsed * record.cpus
}

function usedMs({ cpu_user_usec: user, cpu_system_usec: system }: UsageRecord): number | null {
  return user === null && system === null ? null : ((user ?? 0) + (system ?? 0)) / 1000
}

function efficiency(record: UsageRecord): number | null {
  const [used, allocated] = [usedMs(record), allocatedMs(record)]
  return used === null || allocated === null || allocated <= 0
    ? null
    : Math.round((used / allocated) * 10_000) / 10_000
}

const duration = (ms: number | null) => (ms === null ? null : formatDuration(ms))
const wholeSeconds = (ms: number | null) => (ms === null ? null : Math.floor(ms / 1000))
/** Seconds, to the ms. */
const milli = (ms: number | null) => (ms === null ? null : Math.round(ms) / 1000)
export const percent = (part: number | null) =>
  part === null ? null : `${(part * 100).toFixed(1)}%`

/** As sacct writes CPU time: "00:01.500" below an hour, "02:00:00" and "1-02:00:00" above. */
function cpuTime(ms: number | null): string | null {
  if (ms === null) return null
  if (ms >= 3_600_000) return formatDuration(ms)
  const total = Math.floor(ms)
  const two = (value: number) => String(value).padStart(2, '0')
  const rest = String(total % 1000).padStart(3, '0')
  return `${two(Math.floor(total / 60_000))}:${two(Math.floor(total / 1000) % 60)}.${rest}`
}
