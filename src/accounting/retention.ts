// What of the ledger may go, and what has: a page of rows at a time, so that nobody waits for it.
// INVARIANTS: a run that has not ended stays; a row that is not sent goes only by dropUnsent, and each is counted in the same
// transaction; the number of the last change outlives its row.
import type { Database } from 'better-sqlite3'
import type { Outbox, Translated } from './outbox.js'

export interface RemovedPage {
  readonly removed: number
  /** Where the next page begins; undefined: that was the last one. */
  readonly next: number | undefined
}

export interface RemovalPage {
  /** Rows with a later change than this are looked at, in that order. */
  readonly after: number
  /** Everything counts as sent: there is no aggregator. */
  readonly isAllSent: boolean
  /** Only what ended before: RFC 3339. */
  readonly endedBefore?: string
}

export interface Retention {
  /** What the rows take; the file itself never shrinks, its free pages are used again. */
  usedBytes(): number
  /** Removes rows that have ended and are sent. */
  removeSent(page: RemovalPage): RemovedPage
  /** Removes rows that have ended and are not sent, the oldest first; their ids, for the log. */
  dropUnsent(now: string): readonly string[]
  /** When the newest record was opened: RFC 3339. */
  newestAt(): string | undefined
  /** How many records were ever dropped unsent, and when the last one was: RFC 3339. */
  dropped(): { readonly count: number; readonly lastAt: string | undefined }
}

const PAGE_ROWS = 500
/** No more than must go. */
const DROP_ROWS = 50

interface Candidate {
  readonly seq: number
  readonly id: string
  readonly change_seq: number
  readonly state: string
  readonly ended_at: string | null
  readonly is_aside: number
}

export function createRetention(db: Database, outbox: Outbox, translated: Translated): Retention {
  const select = db.prepare(
    `SELECT seq, id, change_seq, state, ended_at,
       EXISTS (SELECT 1 FROM set_aside AS s WHERE s.id = r.id AND s.change_seq = r.change_seq) AS is_aside
     FROM records AS r WHERE change_seq > @after AND change_seq <= @upto ORDER BY change_seq LIMIT ${PAGE_ROWS}`,
  )
  const selectUnsent = db.prepare(
    `SELECT seq, id FROM records AS r WHERE state <> 'RUNNING' AND (change_seq > @settled OR
       EXISTS (SELECT 1 FROM set_aside AS s WHERE s.id = r.id AND s.change_seq = r.change_seq))
     ORDER BY seq LIMIT ${DROP_ROWS}`,
  )
  const remove = createRemoval(db, outbox)
  const newest = db.prepare('SELECT max(created_at) FROM records').pluck()
  const mark = db.prepare('SELECT value FROM marks WHERE name = ?').pluck()

  return {
    usedBytes: () =>
      translated('measure the ledger', () => {
        const pragma = (name: string) => db.pragma(name, { simple: true }) as number
        return (pragma('page_count') - pragma('freelist_count')) * pragma('page_size')
      }),
    removeSent: ({ after, isAllSent, endedBefore }) =>
      translated('remove old records', () => {
        const upto = isAllSent ? outbox.lastChange() : outbox.settled()
        const page = select.all({ after, upto }) as Candidate[]
        const old = page.filter(
          ({ state, ended_at, is_aside }) =>
            state !== 'RUNNING' &&
            (isAllSent || is_aside === 0) &&
            (endedBefore === undefined || (ended_at !== null && ended_at < endedBefore)),
        )
        if (old.length > 0) remove(old, undefined)
        return { removed: old.length, next: nextOf(page) }
      }),
    dropUnsent: (now) =>
      translated('drop unsent records', () => {
        const page = selectUnsent.all({ settled: outbox.settled() }) as Candidate[]
        if (page.length > 0) remove(page, now)
        return page.map(({ id }) => id)
      }),
    newestAt: () =>
      translated('read the ledger', () => (newest.get() as string | null) ?? undefined),
    dropped: () =>
      translated('read the ledger', () => ({
        count: Number(mark.get('dropped')),
        lastAt: mark.get('dropped_at') as string | undefined,
      })),
  }
}

const nextOf = (page: readonly Candidate[]): number | undefined =>
  page.length < PAGE_ROWS ? undefined : page.at(-1)?.change_seq

function createRemoval(db: Database, outbox: Outbox) {
  const deleteRow = db.prepare('DELETE FROM records WHERE seq = ?')
  const deleteAside = db.prepare('DELETE FROM set_aside WHERE id = ?')
  const writeLast = db.prepare("UPDATE marks SET value = ? WHERE name = 'last_change'")
  const countDropped = db.prepare(
    "UPDATE marks SET value = CAST(CAST(value AS INTEGER) + ? AS TEXT) WHERE name = 'dropped'",
  )
  const writeDropped = db.prepare(
    "INSERT OR REPLACE INTO marks (name, value) VALUES ('dropped_at', ?)",
  )
  return db.transaction(
    (rows: readonly Pick<Candidate, 'seq' | 'id'>[], droppedAt: string | undefined): void => {
      for (const { seq, id } of rows) {
        deleteRow.run(seq)
        deleteAside.run(id)
      }
      writeLast.run(String(outbox.lastChange()))
      if (droppedAt === undefined) return
      countDropped.run(rows.length)
      writeDropped.run(droppedAt)
    },
  )
}
