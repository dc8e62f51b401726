// Records as a node sends them.
import { randomBytes } from 'node:crypto'
import type { BatchLine } from '../../src/wire/ingest-api.js'

/** A run of alice's on n1 that ended well, an hour long. */
export const usageRecord = (fields: Partial<BatchLine> = {}): BatchLine => ({
  id: randomBytes(16).toString('hex'),
  cluster: 'hepp',
  node: 'n1',
  job_id: 42,
  array_job_id: null,
  array_task_id: null,
  het_offset: null,
  restart_count: 0,
  step_id: '0',
  task: 0,
  user: 'alice',
  uid: 2001,
  group: 'atlas',
  gid: 3000,
  account: 'physics',
  partition: 'main',
  image: 'busybox:test',
  image_id: null,
  image_digest: null,
  command: 'true',
  name: null,
  labels: { step: 'reco' },
  engine: 'docker',
  engine_version: '28.0.0',
  state: 'COMPLETED',
  reason: null,
  exit_code: 0,
  signal: null,
  oom_kills: 0,
  created_at: '2026-11-01T12:00:00.000Z',
  started_at: '2026-11-01T12:00:01.000Z',
  ended_at: '2026-11-01T13:00:01.000Z',
  pull_ms: null,
  setup_ms: 90,
  cpu_user_usec: 3_000_000,
  cpu_system_usec: 500_000,
  memory_peak_bytes: 64 * 1024 * 1024,
  io_read_bytes: 4096,
  io_write_bytes: 8192,
  pids_peak: 3,
  cpus: 1,
  memory_limit_bytes: 200 * 1024 * 1024,
  gres: null,
  rule: null,
  ...fields,
})

export const ndjson = (records: readonly object[]): string =>
  records.map((record) => `${JSON.stringify(record)}\n`).join('')

export const newLedgerId = (): string => randomBytes(16).toString('hex')

/** Path of a batch of a ledger's changes (after, upto]. */
export const batchPath = (range: {
  node?: string
  ledger: string
  after: number
  upto: number
  sentAtMs?: number
}): string => {
  const { node = 'n1', ledger, after, upto, sentAtMs } = range
  const sent = sentAtMs === undefined ? '' : `&sent_at_ms=${sentAtMs}`
  return `/v1/records?cluster=hepp&node=${node}&ledger=${ledger}&after=${after}&upto=${upto}${sent}`
}
