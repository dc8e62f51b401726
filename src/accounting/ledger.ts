// The node's ledger: one SQLite file, one row a container, durable before anything is visible.
// INVARIANTS: a row leaves RUNNING once and never comes back; every method returns after the change is on disk
// (WAL with synchronous=FULL: https://www.sqlite.org/pragma.html#pragma_synchronous); one daemon holds the ledger.
import { closeSync, constants, fchmodSync, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { asHepwrapError, HepwrapError } from '../base/errors.js'
import type { RunId } from '../base/ids.js'
import type { RecordsQuery, UsageRecord } from '../wire/usage-api.js'
import { RECORD_FIELDS } from '../wire/record-fields.js'
import { migrate } from './migrations.js'
import { createNodeFactsTable, type NodeFactsTable } from './node-facts-table.js'
import { createOutbox, type Outbox, type Translated } from './outbox.js'
import { createRecordReader } from './query.js'
import {
  fromRow,
  toChange,
  toRow,
  type RecordChange,
  type RecordRow,
  type Scope,
} from './record.js'
import { createRetention, type Retention } from './retention.js'

/** What recovery needs to undo a run: paths and names of ours, written before any of them exists. */
export interface UndoNote {
  /** cgroup/placement's own JSON. */
  readonly placement: unknown
}

export interface OpenRun {
  readonly record: UsageRecord
  readonly undo: UndoNote
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
  /** Oldest first, in pages that may be empty: between two of them the daemon can do something else. */
  read(query: RecordsQuery, scope: Scope): Iterable<readonly UsageRecord[]>
  /** The newest `limit` rows, newest first; "running": all that are. */
  newest(scope: Scope, limit: number | 'running'): readonly UsageRecord[]
  /** Proves that a write reaches the disk; throws HW_LEDGER_UNAVAILABLE. */
  probe(): void
  /** What of it the aggregator does not have yet. */
  readonly outbox: Outbox
  /** What of it may go. */
  readonly retention: Retention
  readonly nodeFacts: NodeFactsTable
  close(): void
}

export function openLedger(stateDirectory: string): Ledger {
  return translated(`open the ledger in ${stateDirectory}`, () => {
    mkdirSync(stateDirectory, { recursive: true, mode: 0o700 })
    const lock = lockDirectory(stateDirectory)
    try {
      return createLedger(openDatabase(join(stateDirectory, 'ledger.db')), lock)
    } catch (thrown) {
      lock.close()
      throw thrown
    }
  })
}

function openDatabase(path: string): Database.Database {
  makePrivate(path)
  const db = new Database(path)
  try {
    db.pragma('journal_mode = WAL')
    db.pragma('synchronous = FULL') // set at each open: a reopened WAL database would be NORMAL
    db.pragma('busy_timeout = 2000')
    migrate(db)
    return db
  } catch (thrown) {
    db.close()
    throw thrown
  }
}

/** Users read their own records through the daemon, nobody's in the file; SQLite gives the WAL the mode of its database. */
function makePrivate(path: string): void {
  const { O_CREAT, O_RDWR, O_NOFOLLOW } = constants
  const fd = openSync(path, O_CREAT | O_RDWR | O_NOFOLLOW, 0o600)
  try {
    fchmodSync(fd, 0o600)
  } finally {
    closeSync(fd)
  }
}

/** A second daemon on the same state directory is refused; the kernel drops the lock of a dead one. */
function lockDirectory(stateDirectory: string): Database.Database {
  const path = join(stateDirectory, 'lock.db')
  makePrivate(path)
  const lock = new Database(path)
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
const COLUMNS = RECORD_FIELDS.map(column).join(', ')

function createLedger(db: Database.Database, lock: Database.Database): Ledger {
  const insert = db.prepare(
    `INSERT INTO records (${COLUMNS}, undo, change_seq)
     VALUES (${RECORD_FIELDS.map((field) => `@${field}`).join(', ')}, @undo, @changeSeq)`,
  )
  const selectUnfinished = db.prepare(
    `SELECT ${COLUMNS}, undo FROM records WHERE state = 'RUNNING'`,
  )
  const updateOf = createUpdates(db)
  const outbox = createOutbox(db, translated)

  return {
    open: (record, undo) =>
      translated(`write record ${record.id}`, () => {
        const undoText = undo === undefined ? null : JSON.stringify(undo)
        insert.run({ ...toRow(record), undo: undoText, changeSeq: outbox.nextChange() })
      }),
    change: (id, change) =>
      translated(`change record ${id}`, () => {
        const fields = Object.keys(change)
        if (fields.length === 0) return false
        const values = { ...toChange(change), id, changeSeq: outbox.nextChange() }
        return updateOf(fields).run(values).changes === 1
      }),
    unfinished: () =>
      (selectUnfinished.all() as (RecordRow & { undo: string | null })[]).map(
        ({ undo, ...row }) => ({
          record: fromRow(row),
          undo: undo === null ? { placement: undefined } : (JSON.parse(undo) as UndoNote),
        }),
      ),
    ...createLookups(db),
    read: createRecordReader(db),
    outbox,
    retention: createRetention(db, outbox, translated),
    nodeFacts: createNodeFactsTable(db, translated),
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

/** Transitions write few distinct sets of columns; each is prepared once. */
function createUpdates(db: Database.Database) {
  const statements = new Map<string, Database.Statement>()
  return (fields: readonly string[]): Database.Statement => {
    const assignments = fields.map((field) => `${column(field)} = @${field}`).join(', ')
    const known = statements.get(assignments)
    if (known !== undefined) return known
    const statement = db.prepare(
      `UPDATE records SET ${assignments}, change_seq = @changeSeq WHERE id = @id AND state = 'RUNNING'`,
    )
    statements.set(assignments, statement)
    return statement
  }
}

function createLookups(db: Database.Database): Pick<Ledger, 'findByPrefix' | 'newest'> {
  const selectByPrefix = db.prepare(
    `SELECT ${COLUMNS} FROM records WHERE id >= @prefix AND id < @prefix || 'g' AND (@uid IS NULL OR uid = @uid) LIMIT @limit`,
  )
  // A scope is a condition of its own, so that each finds its index.
  const newest = (condition: string) =>
    db.prepare(`SELECT ${COLUMNS} FROM records WHERE ${condition} ORDER BY seq DESC LIMIT @limit`)
  const selectNewest = { all: newest('TRUE'), own: newest('uid = @uid') }
  const running = "state = 'RUNNING'"
  const selectRunning = { all: newest(running), own: newest(`${running} AND uid = @uid`) }
  return {
    findByPrefix: (prefix, { uid }, limit) =>
      (selectByPrefix.all({ prefix, uid: uid ?? null, limit }) as RecordRow[]).map(fromRow),
    newest: ({ uid }, limit) => {
      const select = limit === 'running' ? selectRunning : selectNewest
      const rowLimit = limit === 'running' ? -1 : limit
      const rows =
        uid === undefined
          ? select.all.all({ limit: rowLimit })
          : select.own.all({ uid, limit: rowLimit })
      return (rows as RecordRow[]).map(fromRow)
    },
  }
}

/** SQLite's errors (full disk, read-only file system, corruption) as one reason code. */
const translated: Translated = (attempt, action) => {
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
