// What one connection to the SQLite file can be asked, all of it at once or in a thread.
import Database from 'better-sqlite3'
import { openForReading, openForWriting } from './database.js'
import { createReadCalls, type ReadCalls } from './read.js'
import { createWriteCalls, type WriteCalls } from './write.js'

export interface Calls extends WriteCalls, ReadCalls {
  close(): void
}
export type Role = 'write' | 'read'

/** What the other role can is missing. */
export function openCalls(path: string, role: Role): Partial<Calls> {
  const db = role === 'write' ? openForWriting(path) : openForReading(path)
  const calls = role === 'write' ? createWriteCalls(db) : createReadCalls(db)
  return { ...calls, close: () => void db.close() }
}

/** Reports whether SQLite or the file system said so; anything else that is thrown is a fault of ours. */
export const isFromOutside = (thrown: unknown): boolean =>
  thrown instanceof Database.SqliteError
    ? !OF_VALUES.test(thrown.code)
    : thrown instanceof Error && 'errno' in thrown

/** What is wrong with what was to be written, and would be the next time, too (https://www.sqlite.org/rescode.html). */
const OF_VALUES = /^SQLITE_(CONSTRAINT|MISMATCH|TOOBIG|RANGE)/
