// Weeks and months out of days, once they are over: see `Folded`.
import type { Database } from 'better-sqlite3'
import { foldSql } from '../fold-sql.js'
import { toBeFolded, type Folded } from '../rollup.js'
import { SQLITE } from './database.js'

export function createFoldedReader(db: Database): () => Folded | undefined {
  const read = db.prepare("SELECT value FROM marks WHERE name = 'folded'").pluck()
  return () => {
    const value = read.get() as string | undefined
    return value === undefined ? undefined : (JSON.parse(value) as Folded)
  }
}

/** To be called in the transaction of what counts by the answer. */
export function createFold(db: Database): (nowMs: number) => Folded {
  const readFolded = createFoldedReader(db)
  const keep = db.prepare("INSERT OR REPLACE INTO marks (name, value) VALUES ('folded', ?)")
  const fold = (grain: keyof Folded, from: number, to: number) => {
    const { text } = foldSql(grain, from, to, SQLITE)
    if (from < to) db.prepare(text).run({ v1: from, v2: to })
  }

  return (nowMs) => {
    const folded = readFolded()
    const wanted = toBeFolded(nowMs, folded)
    if (folded !== undefined && folded.week >= wanted.week && folded.month >= wanted.month)
      return folded
    if (folded !== undefined) {
      fold('week', folded.week, wanted.week)
      fold('month', folded.month, wanted.month)
    }
    keep.run(JSON.stringify(wanted))
    return wanted
  }
}
