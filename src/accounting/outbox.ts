// What of the ledger the aggregator does not have yet: every change of a row has a number, and a mark says up to which they
// are sent. Numbers are the order in which rows changed last; a row that changes again leaves its old number empty.
// INVARIANTS: no number is used twice, whatever is deleted and whenever the daemon dies (the next one follows the highest of
// all rows and marks); a row whose change is neither acknowledged nor set aside is unsent.
import { randomBytes } from 'node:crypto'
import type { Database } from 'better-sqlite3'
import { RECORD_FIELDS } from '../wire/record-fields.js'
import type { UsageRecord } from '../wire/usage-api.js'
import { fromRow, type RecordRow } from './record.js'

export interface SequencedRecord {
  readonly record: UsageRecord
  readonly changeSeq: number
}

/** All changes of (after, upto], but those that were set aside. */
export interface Changes {
  readonly records: readonly SequencedRecord[]
  readonly upto: number
}

export interface Unsent {
  readonly count: number
  /** When the oldest of them began to wait: RFC 3339. */
  readonly oldestSince: string | undefined
}

/** A record that the aggregator refuses as it is: kept here, and not sent again until it changes or the daemon starts. */
export interface SetAside {
  readonly id: string
  readonly changeSeq: number
  /** What the aggregator said of it. */
  readonly said: string
  /** RFC 3339. */
  readonly since: string
}

export interface Outbox {
  /** 32 hex digits, drawn when this ledger was made. */
  ledgerId(): string
  /** The number of the last change; in memory, so that a loop may ask. */
  lastChange(): number
  /** No aggregator can have a later change of this ledger, unless it was put back from a copy. */
  mostSent(): number
  /** On the disk before it is sent. */
  noteSending(upto: number): void
  /** The next change's number: for the one statement that writes it. */
  nextChange(): number
  /**
   * Under which name this node sends from now on. Where it was another one, it goes on as another ledger, which begins
   * behind what is sent: the aggregator takes no record of another name. What was not sent under the old one is set
   * aside; says how many.
   */
  sendAs(name: NodeName, since: string): number
  /** Everything up to here the aggregator has on its disk. */
  acked(): number
  /** Everything up to here is sent, under whichever name, or set aside. */
  settled(): number
  /** Forward after a reply, back when the aggregator has lost what it had. */
  setAcked(changeSeq: number): void
  /** At most `rows` rows, in the order of their changes. */
  read(after: number, rows: number): Changes
  unsent(): Unsent
  setAside(entry: SetAside): void
  /** Newest first. */
  listSetAside(limit: number): readonly SetAside[]
  countSetAside(): number
  /** Those of this name are changes again, to be sent; says how many. */
  retrySetAside(name: NodeName): number
  /** Another ledger from now on, of which nothing is sent: for one that was put back from a copy. */
  renew(): void
}

export interface NodeName {
  readonly cluster: string
  readonly node: string
}

/** Runs it; SQLite's errors become HepwrapErrors that name what was attempted. */
export type Translated = <T>(attempt: string, action: () => T) => T

const COLUMNS = RECORD_FIELDS.map((field) => `"${field}"`).join(', ')
/** Of this row's present change. */
const IS_SET_ASIDE =
  'EXISTS (SELECT 1 FROM set_aside AS s WHERE s.id = r.id AND s.change_seq = r.change_seq)'

export function createOutbox(db: Database, translated: Translated): Outbox {
  const marks = createMarks(db)
  let ledgerId = marks.text('ledger')
  let acked = marks.number('acked')
  let floor = marks.number('floor')
  let lastChange = Math.max(marks.number('last_change'), acked, floor, highestChange(db))
  let mostSent = Math.max(marks.number('most_sent'), acked)
  const settled = () => Math.max(acked, floor)
  const setOthersAside = createSettingOthersAside(db)
  const writeAnew = db.transaction((id: string, from: number) => {
    marks.write('ledger', id)
    marks.write('acked', '0')
    marks.write('floor', String(from))
    marks.write('most_sent', '0')
  })
  const beginAnew = (from: number) => {
    const id = randomBytes(16).toString('hex')
    writeAnew(id, from)
    ledgerId = id
    acked = 0
    floor = from
    mostSent = 0
  }
  const sendAs = db.transaction((name: NodeName, since: string) => {
    const present = `${name.cluster}/${name.node}`
    const before = marks.text('sent_as')
    const others = setOthersAside(name, since, settled())
    if (before === present) return others
    marks.write('sent_as', present)
    if (before !== '') beginAnew(settled())
    return others
  })

  return {
    ledgerId: () => ledgerId,
    lastChange: () => lastChange,
    mostSent: () => mostSent,
    noteSending: (upto) => {
      if (upto <= mostSent) return
      translated('write what is being sent', () => marks.write('most_sent', String(upto)))
      mostSent = upto
    },
    nextChange: () => ++lastChange,
    sendAs: (name, since) => translated('take another name', () => sendAs(name, since)),
    acked: () => acked,
    settled,
    setAcked: (changeSeq) =>
      translated('write what is sent', () => {
        marks.write('acked', String(changeSeq))
        acked = changeSeq
      }),
    read: createReader(db, translated, { floor: () => floor, lastChange: () => lastChange }),
    ...createUnsentQueries(db, translated, settled),
    ...createSetAsideTable(db, translated, () => ++lastChange),
    renew: () => translated('renew the ledger', () => beginAnew(floor)),
  }
}

function createReader(
  db: Database,
  translated: Translated,
  marks: { readonly floor: () => number; readonly lastChange: () => number },
): Outbox['read'] {
  const select = db.prepare(
    `SELECT ${COLUMNS}, change_seq FROM records AS r
     WHERE change_seq > @after AND NOT ${IS_SET_ASIDE} ORDER BY change_seq LIMIT @rows`,
  )
  return (after, rows) =>
    translated('read what is to be sent', () => {
      const from = Math.max(after, marks.floor())
      const found = select.all({ after: from, rows }) as (RecordRow & { change_seq: number })[]
      const records = found.map(({ change_seq, ...row }) => ({
        record: fromRow(row),
        changeSeq: change_seq,
      }))
      const last = records.at(-1)?.changeSeq ?? from
      return { records, upto: records.length < rows ? Math.max(marks.lastChange(), last) : last }
    })
}

const highestChange = (db: Database): number =>
  (db.prepare('SELECT max(change_seq) FROM records').pluck().get() as number | null) ?? 0

function createMarks(db: Database) {
  const select = db.prepare('SELECT value FROM marks WHERE name = ?').pluck()
  const insert = db.prepare('INSERT OR REPLACE INTO marks (name, value) VALUES (?, ?)')
  const text = (name: string) => (select.get(name) as string | undefined) ?? ''
  return {
    text,
    number: (name: string) => Number(text(name)),
    write: (name: string, value: string) => void insert.run(name, value),
  }
}

function createUnsentQueries(
  db: Database,
  translated: Translated,
  settled: () => number,
): Pick<Outbox, 'unsent'> {
  const count = db
    .prepare('SELECT count(*) FROM records INDEXED BY records_change WHERE change_seq > ?')
    .pluck()
  const countAside = db
    .prepare(
      `SELECT count(*) FROM set_aside AS s JOIN records AS r ON r.id = s.id AND r.change_seq = s.change_seq
       WHERE r.change_seq > ?`,
    )
    .pluck()
  const oldest = db
    .prepare(
      `SELECT coalesce(ended_at, started_at, created_at) FROM records AS r
       WHERE change_seq > ? AND NOT ${IS_SET_ASIDE} ORDER BY change_seq LIMIT 1`,
    )
    .pluck()
  return {
    unsent: () =>
      translated('count what is to be sent', () => {
        const after = settled()
        return {
          count: (count.get(after) as number) - (countAside.get(after) as number),
          oldestSince: oldest.get(after) as string | undefined,
        }
      }),
  }
}

type SetAsideTable = Pick<Outbox, 'setAside' | 'listSetAside' | 'countSetAside' | 'retrySetAside'>

/** A row that has changed since is no longer set aside, though its entry may still stand here. */
function createSetAsideTable(
  db: Database,
  translated: Translated,
  nextChange: () => number,
): SetAsideTable {
  const insert = db.prepare(
    'INSERT OR REPLACE INTO set_aside (id, change_seq, said, since) VALUES (@id, @changeSeq, @said, @since)',
  )
  const present =
    'FROM set_aside AS s JOIN records AS r ON r.id = s.id AND r.change_seq = s.change_seq'
  const list = db.prepare(
    `SELECT s.id, s.change_seq AS changeSeq, s.said, s.since ${present} ORDER BY s.since DESC LIMIT ?`,
  )
  const count = db.prepare(`SELECT count(*) ${present}`).pluck()
  const renumber = db.prepare('UPDATE records SET change_seq = ? WHERE id = ? AND change_seq = ?')
  const forget = db.prepare('DELETE FROM set_aside WHERE id = ?')
  const listOwn = db.prepare(
    `SELECT s.id, s.change_seq AS changeSeq ${present} WHERE cluster = @cluster AND node = @node ORDER BY s.change_seq`,
  )
  const retryOwn = db.transaction((name: NodeName) => {
    const entries = listOwn.all(name) as SetAside[]
    for (const { id, changeSeq } of entries) {
      renumber.run(nextChange(), id, changeSeq)
      forget.run(id)
    }
    return entries.length
  })
  return {
    setAside: (entry) => translated(`set record ${entry.id} aside`, () => void insert.run(entry)),
    listSetAside: (limit) =>
      translated('list what is set aside', () => list.all(limit) as SetAside[]),
    countSetAside: () => translated('count what is set aside', () => count.get() as number),
    retrySetAside: (name) => translated('take up what was set aside', () => retryOwn(name)),
  }
}

function createSettingOthersAside(db: Database) {
  const insert = db.prepare(
    `INSERT OR REPLACE INTO set_aside (id, change_seq, said, since)
     SELECT id, change_seq, @said, @since FROM records
     WHERE change_seq > @after AND (cluster <> @cluster OR node <> @node)`,
  )
  return ({ cluster, node }: NodeName, since: string, after: number): number => {
    const said = `of another name than this node has now, ${cluster}/${node}`
    return insert.run({ cluster, node, said, since, after }).changes
  }
}
