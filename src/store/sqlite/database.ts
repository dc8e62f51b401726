// The SQLite file of the store, opened for the one that writes and for those that read.
import { closeSync, constants, fchmodSync, openSync, readSync } from 'node:fs'
import Database from 'better-sqlite3'
import { matchesGlob } from '../../base/glob.js'
import type { Dialect } from '../dialect.js'
import { migrate } from './migrations.js'

const BUSY_TIMEOUT_MS = 10_000
const MAGIC = 'SQLite format 3\0'
const CACHE_KIB = 65_536

export function openForWriting(path: string): Database.Database {
  makePrivate(path)
  const db = new Database(path)
  try {
    db.pragma(`busy_timeout = ${BUSY_TIMEOUT_MS}`)
    db.pragma('journal_mode = WAL')
    db.pragma('synchronous = FULL') // set at each open: a reopened WAL database would be NORMAL
    db.pragma(`cache_size = -${CACHE_KIB}`)
    migrate(db)
    return db
  } catch (thrown) {
    db.close()
    throw thrown
  }
}

export function openForReading(path: string): Database.Database {
  const db = new Database(path, { readonly: true, fileMustExist: true })
  db.pragma(`busy_timeout = ${BUSY_TIMEOUT_MS}`)
  db.pragma(`cache_size = -${CACHE_KIB}`)
  // SQLite's own GLOB takes time exponential in the stars.
  db.function('matches_glob', { deterministic: true }, (text, pattern) =>
    typeof text === 'string' && matchesGlob(text, String(pattern)) ? 1 : 0,
  )
  return db
}

/**
 * Records are for the aggregator's eyes; SQLite gives the WAL the mode of its database. A file that is no database is
 * somebody else's, named by mistake, and left as it is.
 */
function makePrivate(path: string): void {
  const { O_CREAT, O_RDWR, O_NOFOLLOW } = constants
  const fd = openSync(path, O_CREAT | O_RDWR | O_NOFOLLOW, 0o600)
  try {
    const begin = Buffer.alloc(MAGIC.length)
    if (readSync(fd, begin) === 0 || begin.toString('latin1') === MAGIC) fchmodSync(fd, 0o600)
  } finally {
    closeSync(fd)
  }
}

export const SQLITE: Dialect = {
  binding: () => {
    const values: (string | number | null)[] = []
    return { values, bind: (value) => `@v${values.push(value)}` }
  },
  glob: (column, pattern, binding) => `matches_glob(${column}, ${binding.bind(pattern)})`,
  wholeSum: (column) => `sum(${column})`,
  monthOf: (column) => `unixepoch(${column} * 3600, 'unixepoch', 'start of month') / 3600`,
  sum: (column) => `total(${column})`,
  join: 'CROSS JOIN',
  bytewise: '',
}
