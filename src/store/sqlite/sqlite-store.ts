// The store on one SQLite file: a thread that writes, one that answers about usage, one for records and the rest.
import { existsSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { readPage } from '../read-page.js'
import type { Batch, Store } from '../store.js'
import { toStored } from '../stored-row.js'
import { unavailable } from '../unavailable.js'
import { startThread, type CallThread } from './call-thread.js'
import type { StoredBatch } from './write.js'

export interface Connections {
  readonly write: CallThread
  readonly records: CallThread
  readonly usage: CallThread
}

export async function openSqliteStore(path: string): Promise<Store> {
  makeDirectory(path)
  const write = await startThread(path, 'write') // makes the file that the others open
  const [records, usage] = await Promise.all([startThread(path, 'read'), startThread(path, 'read')])
  return createSqliteStore(path, { write, records, usage })
}

/** The last one alone: a path of which more is missing is a mistake. */
function makeDirectory(path: string): void {
  const directory = dirname(path)
  try {
    if (!existsSync(directory)) mkdirSync(directory, { mode: 0o700 })
  } catch (cause) {
    throw unavailable(`sqlite:${path}`, cause)
  }
}

export function createSqliteStore(path: string, { write, records, usage }: Connections): Store {
  return {
    description: `sqlite:${path}`,
    ingest: async (batches) => write('ingest', JSON.stringify(batches.map(toStoredBatch))),
    putFacts: async (row) => write('putFacts', row, Date.parse(row.since)),
    facts: async (filter) => records('facts', filter),
    records: async (filter, scope, page) =>
      readPage(async (question, limit) => records('step', question, limit), filter, scope, page),
    usage: async (question, scope) => usage('usage', question, scope),
    ledgers: async () => records('ledgers'),
    expire: async (beforeMs, limit) => write('expire', beforeMs, limit),
    probe: async () => write('probe'),
    close: async () => {
      await Promise.all([records('close'), usage('close')])
      await write('close') // the last one to close empties the WAL
    },
  }
}

const toStoredBatch = ({ range, receivedAtMs, records }: Batch): StoredBatch => ({
  range,
  receivedAtMs,
  rows: records.map(({ record, changeSeq }) => toStored(record, changeSeq)),
})
