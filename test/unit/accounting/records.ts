// Records for the ledger's tests.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { openLedger, type Ledger } from '../../../src/accounting/ledger.js'
import { newRunId, type RunId } from '../../../src/base/ids.js'
import type { UsageRecord } from '../../../src/wire/usage-api.js'

export const makeRecord = (fields: Partial<UsageRecord> = {}): UsageRecord & { id: RunId } => ({
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
  labels: null,
  engine: null,
  engine_version: null,
  state: 'RUNNING',
  reason: null,
  exit_code: null,
  signal: null,
  oom_kills: null,
  created_at: '2026-01-31T12:00:00.000Z',
  started_at: null,
  ended_at: null,
  pull_ms: null,
  setup_ms: null,
  cpu_user_usec: null,
  cpu_system_usec: null,
  memory_peak_bytes: null,
  io_read_bytes: null,
  io_write_bytes: null,
  pids_peak: null,
  cpus: null,
  memory_limit_bytes: null,
  gres: null,
  rule: null,
  ...fields,
  id: (fields.id ?? newRunId()) as RunId,
})

export function makeDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'hepwrap-ledger-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

export function makeLedger(directory = makeDirectory()): Ledger {
  const ledger = openLedger(directory)
  onTestFinished(() => ledger.close())
  return ledger
}
