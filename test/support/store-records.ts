// Records and batches for the store's tests.
import type { Batch, LedgerRange, SequencedRecord } from '../../src/store/store.js'
import type { UsageRecord } from '../../src/wire/usage-api.js'
import { makeRecord } from '../unit/accounting/records.js'

export const LEDGER = 'a'.repeat(32)
export const OTHER_LEDGER = 'b'.repeat(32)

/** One hour on one CPU, half of it used, with a GiB. */
export const ended = (fields: Partial<UsageRecord> = {}): UsageRecord =>
  makeRecord({
    state: 'COMPLETED',
    exit_code: 0,
    started_at: '2026-01-31T12:00:00.000Z',
    ended_at: '2026-01-31T13:00:00.000Z',
    cpu_user_usec: 1_500_000_000,
    cpu_system_usec: 300_000_000,
    cpus: 1,
    memory_peak_bytes: 2 ** 30,
    io_read_bytes: 100,
    io_write_bytes: 10,
    ...fields,
  })

/** What one `ended()` adds. */
export const ONE = {
  runs: 1,
  failed: 0,
  refused: 0,
  elapsed_ms: 3_600_000,
  cpu_usec: 1_800_000_000,
  alloc_cpu_usec: 3_600_000_000,
  used_cpu_usec: 1_800_000_000,
  memory_mib_s: 1024 * 3600,
  io_read_bytes: 100,
  io_write_bytes: 10,
}

export const sequenced = (record: UsageRecord, changeSeq = 0): SequencedRecord => ({
  record,
  changeSeq,
})

export const RECEIVED_MS = Date.UTC(2026, 1, 1)

/** Without a ledger. */
export const loose = (...records: readonly UsageRecord[]): Batch => ({
  range: undefined,
  records: records.map((record) => sequenced(record)),
  receivedAtMs: RECEIVED_MS,
})

/** The changes (after, after + n] of a ledger, one a record. */
export const ranged = (
  after: number,
  records: readonly UsageRecord[],
  range: Partial<LedgerRange> = {},
): Batch => ({
  range: {
    cluster: 'hepp',
    node: 'n1',
    ledger: LEDGER,
    after,
    upto: after + records.length,
    ...range,
  },
  records: records.map((record, index) => sequenced(record, after + index + 1)),
  receivedAtMs: RECEIVED_MS,
})
