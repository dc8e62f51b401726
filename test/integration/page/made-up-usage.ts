// Records that look like a site's, always the same ones, and their sums as the aggregator answers them. For the page's tests.
import type { UsageRow, UsageSums } from '../../../src/wire/report-api.js'
import { USAGE_SUMS } from '../../../src/wire/usage-sums.js'
import type { RecordState, UsageRecord } from '../../../src/wire/usage-api.js'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const GIB = 1024 ** 3

/** Numbers in [0, 1) that are the same in each run (mulberry32). */
export function chance(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

export interface MadeUpOptions {
  readonly nowMs: number
  readonly count: number
  readonly days: number
  readonly users: number
}

const ACCOUNTS = [
  'atlas',
  'cms',
  'lhcb',
  'alice-exp',
  'theory',
  'icecube',
  'belle2',
  'local',
  'dune',
]
const IMAGES = [
  'registry.hep.example/atlas/analysisbase:25.2.3',
  'registry.hep.example/atlas/athena:24.0.41',
  'registry.hep.example/cms/cmssw-el9:14_1_0',
  'docker.io/library/python:3.12-slim',
  'registry.hep.example/theory/madgraph:3.5.6',
  'gitlab-registry.cern.ch/lhcb-docker/os-base/alma9-devel:latest',
  'docker.io/rootproject/root:6.32.02-ubuntu24.04',
  'registry.hep.example/icecube/combo@sha256:9f1b7c2e0f5d4c3b2a19080706050403020100ffeeddccbbaa99887766554433',
]
const NAMES = [
  'amelie',
  'bjorn',
  'chen',
  'dana',
  'emeka',
  'fatima',
  'georgi',
  'hana',
  'ivan',
  'jun',
]

const STATES: readonly (readonly [number, RecordState])[] = [
  [0.86, 'COMPLETED'],
  [0.92, 'FAILED'],
  [0.945, 'CANCELLED'],
  [0.965, 'TIMEOUT'],
  [0.98, 'OUT_OF_MEMORY'],
  [0.985, 'NODE_FAIL'],
  [1, 'REFUSED'],
]

export function madeUpRecords({
  nowMs,
  count,
  days,
  users,
}: MadeUpOptions): readonly UsageRecord[] {
  const next = chance(7)
  const many = (most: number) => Math.floor(next() ** 2 * most)
  return Array.from({ length: count }, (_, index) => {
    const user = many(users)
    const account = (user * 7 + (next() < 0.15 ? 1 : 0)) % ACCOUNTS.length
    const busy = 1 + 0.4 * Math.sin(index / 97)
    const elapsedMs = Math.round(60_000 + next() ** 3 * 14 * HOUR_MS * busy)
    const endedMs = nowMs - Math.round(((index + next()) / count) * days * DAY_MS)
    const state = STATES.find(([most]) => next() < most)?.[1] ?? 'COMPLETED'
    return madeUpRecord({
      id: `01890000-0000-7000-8000-${String(index).padStart(12, '0')}`,
      job_id: 100_000 + (index >> 2),
      user: `${NAMES[user % NAMES.length] ?? ''}${user < NAMES.length ? '' : user}`,
      uid: 3000 + user,
      account: ACCOUNTS[account] ?? null,
      image: IMAGES[(account + many(3)) % IMAGES.length] ?? '',
      node: `wn${String(1 + many(60)).padStart(3, '0')}`,
      state,
      endedMs,
      elapsedMs,
      cpus: [1, 1, 2, 4, 8][many(5)] ?? 1,
      load: 0.55 + 0.43 * next(),
      memoryBytes: Math.round((0.3 + 3 * next()) * GIB),
    })
  })
}

export interface Made {
  readonly id: string
  readonly job_id: number
  readonly user: string
  readonly uid: number
  readonly account: string | null
  readonly image: string
  readonly node: string
  readonly state: RecordState
  readonly endedMs: number
  readonly elapsedMs: number
  readonly cpus?: number
  readonly load?: number
  readonly memoryBytes?: number
}

/** A whole record; what `made` does not say is as after an ordinary run. */
export function madeUpRecord(made: Made, more: Partial<UsageRecord> = {}): UsageRecord {
  const { state, endedMs } = made
  return {
    id: made.id,
    cluster: 'hepp',
    node: made.node,
    job_id: made.job_id,
    array_job_id: null,
    array_task_id: null,
    het_offset: null,
    restart_count: 0,
    step_id: '0',
    task: 0,
    user: made.user,
    uid: made.uid,
    group: made.account,
    gid: 3000,
    account: made.account,
    partition: 'main',
    image: made.image,
    image_id: null,
    image_digest: null,
    command: 'athena.py --run',
    name: null,
    labels: null,
    engine: 'docker',
    engine_version: '20.10.24',
    state,
    reason: null,
    exit_code: state === 'COMPLETED' ? 0 : state === 'FAILED' ? 1 : null,
    signal: state === 'TIMEOUT' ? 15 : null,
    oom_kills: state === 'OUT_OF_MEMORY' ? 1 : 0,
    ended_at: time(endedMs),
    memory_limit_bytes: 4 * GIB,
    gres: null,
    rule: null,
    ...(state === 'REFUSED' ? refused(endedMs) : measured(made)),
    ...more,
  }
}

const time = (ms: number) => new Date(ms).toISOString()

const refused = (endedMs: number) => ({
  reason: 'HW_IMAGE_REFUSED',
  created_at: time(endedMs),
  started_at: null,
  pull_ms: null,
  setup_ms: null,
  cpu_user_usec: null,
  cpu_system_usec: null,
  memory_peak_bytes: null,
  io_read_bytes: null,
  io_write_bytes: null,
  pids_peak: null,
  cpus: null,
})

function measured({ endedMs, elapsedMs, cpus = 1, load = 0.8, memoryBytes = GIB }: Made) {
  const pullMs = elapsedMs % 5 === 0 ? 4000 + (elapsedMs % 30_000) : null
  const setupMs = 180 + (elapsedMs % 90)
  const startedMs = endedMs - elapsedMs
  const cpuUsec = Math.round(elapsedMs * 1000 * cpus * load)
  return {
    created_at: time(startedMs - setupMs - (pullMs ?? 0)),
    started_at: time(startedMs),
    pull_ms: pullMs,
    setup_ms: setupMs,
    cpu_user_usec: Math.round(cpuUsec * 0.93),
    cpu_system_usec: Math.round(cpuUsec * 0.07),
    memory_peak_bytes: memoryBytes,
    io_read_bytes: elapsedMs * 900,
    io_write_bytes: elapsedMs * 120,
    pids_peak: 12,
    cpus,
  }
}

const JOB_STATES: readonly RecordState[] = [
  'COMPLETED',
  'COMPLETED',
  'COMPLETED',
  'FAILED',
  'COMPLETED',
  'OUT_OF_MEMORY',
  'REFUSED',
  'COMPLETED',
]

/** A job of 26 tasks on four nodes; the first task of each node pulls the image. */
export function madeUpJob(jobId: number, nowMs: number): readonly UsageRecord[] {
  return Array.from({ length: 26 }, (_, task) => {
    const state = JOB_STATES[task % 8] ?? 'COMPLETED'
    const elapsedMs = 600_000 + ((task * 104_729) % 900) * 1000
    const endedMs = nowMs - 3_600_000 + ((task * 7919) % 60) * 20_000
    const pullMs = task % 8 === 0 ? 95_000 : null
    const createdMs = state === 'REFUSED' ? endedMs : endedMs - elapsedMs - 20_000 - (pullMs ?? 0)
    return madeUpRecord(
      {
        id: `job-${jobId}-${task}`,
        job_id: jobId,
        user: 'amelie',
        uid: 3000,
        account: 'atlas',
        image: 'registry.hep.example/atlas/analysisbase:25.2.3',
        node: `wn${String(1 + (task >> 3)).padStart(3, '0')}`,
        state,
        endedMs,
        elapsedMs,
      },
      { task, pull_ms: pullMs, setup_ms: 20_000, created_at: new Date(createdMs).toISOString() },
    )
  })
}

/** As the aggregator sums: whole, in the hour in which a run ended. */
export function sumsOf(
  records: readonly UsageRecord[],
  by: readonly string[],
): readonly UsageRow[] {
  const rows = new Map<string, Record<string, string | number | null>>()
  for (const record of records) {
    if (record.ended_at === null) continue
    const keys = by.map((key) => keyOf(record, key))
    const id = JSON.stringify(keys)
    let row = rows.get(id)
    if (row === undefined) {
      row = Object.fromEntries(by.map((key, index) => [key, keys[index] ?? null]))
      for (const name of USAGE_SUMS) row[name] = 0
      rows.set(id, row)
    }
    for (const [name, amount] of Object.entries<number>({ ...contribution(record) }))
      row[name] = (row[name] as number) + amount
  }
  return [...rows.values()] as unknown as readonly UsageRow[]
}

function keyOf(record: UsageRecord, key: string): string | null {
  const ended = new Date(record.ended_at ?? 0)
  const day = Date.UTC(ended.getUTCFullYear(), ended.getUTCMonth(), ended.getUTCDate())
  switch (key) {
    case 'hour':
      return new Date(Math.floor(ended.getTime() / HOUR_MS) * HOUR_MS).toISOString()
    case 'day':
      return new Date(day).toISOString()
    case 'week':
      return new Date(day - ((ended.getUTCDay() + 6) % 7) * DAY_MS).toISOString()
    case 'month':
      return new Date(Date.UTC(ended.getUTCFullYear(), ended.getUTCMonth(), 1)).toISOString()
    default:
      return record[key as 'user']
  }
}

function contribution(record: UsageRecord): UsageSums {
  const elapsed =
    record.started_at === null || record.ended_at === null
      ? 0
      : Date.parse(record.ended_at) - Date.parse(record.started_at)
  const cpu = (record.cpu_user_usec ?? 0) + (record.cpu_system_usec ?? 0)
  return {
    runs: 1,
    failed: ['FAILED', 'TIMEOUT', 'OUT_OF_MEMORY', 'NODE_FAIL'].includes(record.state) ? 1 : 0,
    refused: record.state === 'REFUSED' ? 1 : 0,
    elapsed_ms: elapsed,
    cpu_usec: cpu,
    alloc_cpu_usec: record.cpus === null ? 0 : elapsed * record.cpus * 1000,
    used_cpu_usec: record.cpus === null ? 0 : cpu,
    memory_mib_s: Math.round(((record.memory_peak_bytes ?? 0) / 1024 ** 2) * (elapsed / 1000)),
    io_read_bytes: record.io_read_bytes ?? 0,
    io_write_bytes: record.io_write_bytes ?? 0,
  }
}
