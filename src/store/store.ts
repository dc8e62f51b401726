// What the aggregator keeps, and what it is asked: one interface, two databases (sqlite/, postgres/), the same tests for both.
// INVARIANTS: a batch is applied whole or not at all, and is durable when ingest resolves; the rollups are at every
// commit the sums of all records ever accepted; a method never holds a whole answer of unbounded length in memory.
import type { NodeRow } from '../wire/ingest-api.js'
import type { UsageKey, UsageSums, UsageRow } from '../wire/report-api.js'
import type { RecordState, UsageRecord } from '../wire/usage-api.js'

/** Where a batch stands in the changes of one ledger: it has all of (after, upto]. */
export interface LedgerRange {
  readonly cluster: string
  readonly node: string
  /** The ledger's own id, drawn when it was made. */
  readonly ledger: string
  readonly after: number
  readonly upto: number
}

export interface Batch {
  readonly range: LedgerRange | undefined
  readonly records: readonly SequencedRecord[]
  /** When it came, ms since the epoch. */
  readonly receivedAtMs: number
}

export interface SequencedRecord {
  readonly record: UsageRecord
  /** The number of this change in its ledger; 0 without a ledger. */
  readonly changeSeq: number
}

export type BatchOutcome =
  | {
      readonly kind: 'applied'
      readonly inserted: number
      readonly changed: number
      readonly duplicates: number
      /** Of those changed: how many had ended already. */
      readonly corrected: number
      /** Records whose ids are those of another node's records; left as they were. */
      readonly foreign: number
      readonly acked: number | undefined
      /** What is worth a line in the log. */
      readonly remarks: readonly LedgerRemark[]
    }
  | { readonly kind: 'gap'; readonly acked: number }

/** `new-ledger`: the node had another before (installed anew). `two-ledgers`: an older one of this node sends again. */
export interface LedgerRemark {
  readonly kind: 'first-ledger' | 'new-ledger' | 'two-ledgers'
  readonly previous: string | undefined
}

/** Whose: undefined = everybody's. */
export interface StoreScope {
  readonly uid: number | undefined
}

/** Checked values: names are globs (* and ?) or exact, times ms since the epoch. Absent or empty = no condition. */
export interface RecordsFilter {
  readonly jobs?: readonly number[]
  readonly users?: readonly string[]
  readonly accounts?: readonly string[]
  readonly images?: readonly string[]
  readonly nodes?: readonly string[]
  readonly clusters?: readonly string[]
  readonly partitions?: readonly string[]
  readonly states?: readonly RecordState[]
  /** Any part of the run lies in [sinceMs, untilMs], as sacct counts. */
  readonly sinceMs?: number
  readonly untilMs?: number
}

/** Opaque text; it stays good while records come and go. */
export type Cursor = string

export interface RecordsPage {
  readonly records: readonly UsageRecord[]
  /** Undefined: that was the last one. */
  readonly next: Cursor | undefined
}

export interface UsageFilter {
  readonly clusters?: readonly string[]
  readonly users?: readonly string[]
  readonly accounts?: readonly string[]
  readonly images?: readonly string[]
  readonly nodes?: readonly string[]
  readonly states?: readonly RecordState[]
  /** Whole hours (UTC), since inclusive, until exclusive. */
  readonly sinceMs?: number
  readonly untilMs?: number
}

export interface UsageQuestion {
  readonly by: readonly UsageKey[]
  readonly filter: UsageFilter
  readonly top: { readonly count: number; readonly sort: UsageSort } | undefined
}

export type UsageSort = keyof Omit<UsageSums, 'io_read_bytes' | 'io_write_bytes'> | 'io_bytes'

export interface LedgerState {
  readonly cluster: string
  readonly node: string
  readonly ledger: string
  readonly acked: number
  readonly firstSeenMs: number
  readonly lastSeenMs: number
}

export interface Store {
  /** "sqlite" or "postgres", and where, without a password; for logs. */
  readonly description: string
  /**
   * Several batches in one transaction, in order. Throws HW_STORE_UNAVAILABLE (full disk, lost connection): then none
   * of them is applied, or it is not known; sending them again is always right.
   */
  ingest(batches: readonly Batch[]): Promise<readonly BatchOutcome[]>
  /** The newest facts of a node; the same `since` again replaces. */
  putFacts(row: NodeRow): Promise<void>
  /** Oldest first within a node. */
  facts(filter: {
    readonly clusters?: readonly string[]
    readonly nodes?: readonly string[]
  }): Promise<readonly NodeRow[]>
  /** By time of creation, then of arrival. */
  records(
    filter: RecordsFilter,
    scope: StoreScope,
    page: { readonly after: Cursor | undefined; readonly limit: number },
  ): Promise<RecordsPage>
  usage(question: UsageQuestion, scope: StoreScope): Promise<readonly UsageRow[]>
  ledgers(): Promise<readonly LedgerState[]>
  /** Removes records (never rollups) that ended before; at most `limit`, resolves how many. */
  expire(beforeMs: number, limit: number): Promise<number>
  /** Proves that a write reaches the disk; throws HW_STORE_UNAVAILABLE. */
  probe(): Promise<void>
  close(): Promise<void>
}
