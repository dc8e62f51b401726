// The node's ledger: one SQLite file, one row a container, durable before anything is visible.
// INVARIANTS: a row leaves RUNNING once and never comes back; every method returns after the change is on disk
// (WAL with synchronous=FULL: https://www.sqlite.org/pragma.html#pragma_synchronous); one daemon holds the ledger.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { asHepwrapError, HepwrapError } from '../base/errors.js'
import type { RunId } from '../base/ids.js'
import type { RecordsQuery, UsageRecord } from '../wire/usage-api.js'
import { migrate } from './migrations.js'
import { createRecordReader } from './query.js'
import { fromRow, RECORD_FIELDS, toRow, type RecordChange, type RecordRow } from './record.js'

/** What recovery needs to undo a run: paths and names of ours, written before any of them exists. */
export interface UndoNote {
  /** cgroup/placement's own JSON. */
  readonly placement: unknown
}

export interface OpenRun {
  readonly record: UsageRecord
  readonly undo: UndoNote
}

/** Whose records: undefined = everybody's (root). */
export interface Scope {
  readonly uid: number | undefined
}

export interface Ledger {
  /** Writes a RUNNING row (or a REFUSED or FAILED one that is closed from the start). */
  open(record: UsageRecord, undo?: UndoNote): void
  /** Changes a row that is RUNNING; false where it is not (then nothing is written). */
  change(id: RunId, change: RecordChange): boolean
  /** The rows that are RUNNING: what recovery must close. */
  unfinished(): readonly OpenRun[]
  /** Rows whose id begins with `prefix`, at most `limit`. */
  findByPrefix(prefix: string, scope: Scope, limit: number): readonly UsageRecord[]
  /** Oldest first, read in pages, so that a write is never kept waiting. */
  read(query: RecordsQuery, scope: Scope): Iterable<UsageRecord>
  /** The newest `limit` rows, newest first; "running": all that are. */
  newest(scope: Scope, limit: number | 'running'): readonly UsageRecord[]
  /** Proves that a write reaches the disk; throws HW_LEDGER_UNAVAILABLE. */
  probe(): void
  close(): void
}

export function openLedger(stateDirectory: string): Ledger {
  return translated(`open the ledger in ${stateDirectory}`, () => {
    mkdirSync(stateDirectory, { recursive: true, mode: 0o700 })
    const lock = lockDirectory(stateDirectory)
    const db = openDatabase(join(stateDirectory, 'ledger.db'))
    migrate(db)
    return createLedger(db, lock)
  })
}

function openDatabase(path: string): Database.Database {
  const db = new Database(path)
  db.pragma('journal_mode = WAL')
  db.pragma('synchronous = FULL') // set at each open: a reopened WAL database would be NORMAL
  db.pragma('busy_timeout = 2000')
  return db
}

/** A second daemon on the same state directory is refused; the kernel drops the lock of a dead one. */
function lockDirectory(stateDirectory: string): Database.Database {
  const lock = new Database(join(stateDirectory, 'lock.db'))
  lock.pragma('busy_timeout = 0')
  try {
    lock.exec('BEGIN EXCLUSIVE')
    return lock
  } catch (cause) {
    lock.close()
    throw new HepwrapError(
      'HW_LEDGER_UNAVAILABLE',
      `another hepwrapd holds the ledger in ${stateDirectory}`,
      { cause },
    )
  }
}

const column = (field: string) => `"${field}"`

function createLedger(db: Database.Database, lock: Database.Database): Ledger {
  const columns = RECORD_FIELDS.map(column).join(', ')
  const insert = db.prepare(
    `INSERT INTO records (${columns}, undo) VALUES (${RECORD_FIELDS.map((field) => `@${field}`).join(', ')}, @undo)`,
  )
  const selectUnfinished = db.prepare(
    `SELECT seq, ${columns}, undo FROM records WHERE state = 'RUNNING'`,
  )
  const selectByPrefix = db.prepare(
    `SELECT seq, ${columns} FROM records WHERE id >= @prefix AND id < @prefix || 'g' AND (@uid IS NULL OR uid = @uid) LIMIT @limit`,
  )
  const newest = (condition: string) =>
    db.prepare(
      `SELECT seq, ${columns} FROM records WHERE ${condition} AND (@uid IS NULL OR uid = @uid) ORDER BY seq DESC LIMIT @limit`,
    )
  const selectNewest = newest('TRUE')
  const selectRunning = newest("state = 'RUNNING'")
  const statements = new Map<string, Database.Statement>()

  /** Transitions write few distinct sets of columns; each is prepared once. */
  const updateOf = (fields: readonly string[]): Database.Statement => {
    const assignments = fields.map((field) => `${column(field)} = @${field}`).join(', ')
    const known = statements.get(assignments)
    if (known !== undefined) return known
    const statement = db.prepare(
      `UPDATE records SET ${assignments} WHERE id = @id AND state = 'RUNNING'`,
    )
    statements.set(assignments, statement)
    return statement
  }

  return {
    open: (record, undo) =>
      translated(`write record ${record.id}`, () => {
        insert.run({ ...toRow(record), undo: undo === undefined ? null : JSON.stringify(undo) })
      }),
    change: (id, change) =>
      translated(`change record ${id}`, () => {
        const fields = Object.keys(change)
        return fields.length > 0 && updateOf(fields).run({ ...change, id }).changes === 1
      }),
    unfinished: () =>
      (selectUnfinished.all() as (RecordRow & { undo: string | null })[]).map(
        ({ undo, ...row }) => ({
          record: fromRow(row),
          undo: undo === null ? { placement: undefined } : (JSON.parse(undo) as UndoNote),
        }),
      ),
    findByPrefix: (prefix, { uid }, limit) =>
      (selectByPrefix.all({ prefix, uid: uid ?? null, limit }) as RecordRow[]).map(fromRow),
    newest: ({ uid }, limit) =>
      (limit === 'running'
        ? (selectRunning.all({ uid: uid ?? null, limit: -1 }) as RecordRow[])
        : (selectNewest.all({ uid: uid ?? null, limit }) as RecordRow[])
      ).map(fromRow),
    read: createRecordReader(db),
    probe: () =>
      translated('write to the ledger', () => {
        db.prepare(
          "INSERT OR REPLACE INTO marks (name, value) VALUES ('probe', hex(randomblob(16)))",
        ).run()
      }),
    close: () => {
      db.close()
      lock.close()
    },
  }
}

/** SQLite's errors (full disk, read-only file system, corruption) as one reason code. */
function translated<T>(attempt: string, action: () => T): T {
  try {
    return action()
  } catch (thrown) {
    if (thrown instanceof HepwrapError) throw thrown
    const { message } = asHepwrapError(thrown)
    throw new HepwrapError('HW_LEDGER_UNAVAILABLE', `cannot ${attempt}: ${message}`, {
      cause: thrown,
    })
  }
}
