// The numbers of names and entities, given out when they are first seen and remembered.
import type { Database } from 'better-sqlite3'
import { CUTS, type Directory, type Entity } from '../rollup.js'

/** Beyond this what is remembered is let go at once: image names are the users' to choose, and have no end. */
const MAX_REMEMBERED = 200_000

export interface EntityIds {
  readonly directory: Directory
  /** In a transaction, between `begin` and `end`. */
  idOf(entity: Entity): number
  begin(): void
  end(): void
  /** After a commit: makes room if there is too much. */
  trim(): void
  /** After a rollback: the numbers that were given out are none. */
  forget(): void
}

export function createEntityIds(db: Database): EntityIds {
  const directory: Directory = new Map()
  const names = new Map<string, number>()
  const findName = db.prepare('SELECT id FROM names WHERE text = ?').pluck()
  const addName = db.prepare('INSERT INTO names (text) VALUES (?)')
  const keys = 'cut, cluster, uid, "user", account, image, node, state'
  const find = db
    .prepare(`SELECT id FROM entities WHERE (${keys}) = (?, ?, ?, ?, ?, ?, ?, ?)`)
    .pluck()
  // Numbers are unique over all cuts: the coarser rollups are kept by them alone.
  const readLast = db.prepare("SELECT value FROM marks WHERE name = 'entities'").pluck()
  const keepLast = db.prepare("INSERT OR REPLACE INTO marks (name, value) VALUES ('entities', ?)")
  const add = db.prepare(`INSERT INTO entities (id, ${keys}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`)

  let last = 0
  let lastKept = 0

  const nameId = (name: string | number | null): number => {
    if (name === null) return 0
    const text = String(name)
    const known = names.get(text) ?? (findName.get(text) as number | undefined)
    const id = known ?? Number(addName.run(text).lastInsertRowid)
    names.set(text, id)
    return id
  }

  const numberOf = ({ cut, values }: Entity): number => {
    const { cluster, uid, user, account, image, node, state } = values
    const row = [
      CUTS[cut].number,
      nameId(cluster),
      uid ?? -1,
      ...[user, account, image, node, state].map(nameId),
    ]
    const known = find.get(row) as number | undefined
    if (known !== undefined) return known
    add.run(++last, row)
    return last
  }

  const forget = () => {
    directory.clear()
    names.clear()
  }
  return {
    directory,
    idOf: (entity) => (entity.id ??= numberOf(entity)),
    // Another program may have given out some since.
    begin: () => {
      last = lastKept = (readLast.get() as number | undefined) ?? 0
    },
    end: () => {
      if (last !== lastKept) keepLast.run(last)
    },
    trim: () => {
      if (directory.size + names.size > MAX_REMEMBERED) forget()
    },
    forget,
  }
}
