// How many records a second are durable on PostgreSQL: the store beside bare multi-row inserts of the same rows into the
// same table, in transactions of the same size.
import pg from 'pg'
import { STORED_COLUMNS, toStored, type Cell } from '../../src/store/stored-row.js'
import { openBuiltStore } from '../support/built-store.js'
import { passwordDatabase } from '../world/postgres.js'
import { median } from './figures.js'
import { ingests, inGroups, makeLoad, type Load, type Shape } from './store-ingest.js'

const ROUNDS = 3
/** The protocol takes 65,535 values a statement. */
const ROWS_A_STATEMENT = 1000

export async function postgresFigures(shape: Shape): Promise<{ store: number; bare: number }> {
  const figures = { store: [] as number[], bare: [] as number[] }
  for (let round = 0; round < ROUNDS; round++) {
    const load = makeLoad(shape, round)
    for (const name of ['bare', 'store'] as const) {
      const url = passwordDatabase()
      const store = await openBuiltStore(url)
      const run =
        name === 'store'
          ? ingests(store, load.batches, shape.together)
          : await bareInserts(url, load, shape.together)
      const began = performance.now()
      await run()
      figures[name].push((shape.batches * shape.records) / ((performance.now() - began) / 1000))
      if (name === 'bare') await store.close()
      else if (round === 0) await saySizes(url, shape.batches * shape.records)
    }
  }
  return { store: median(figures.store), bare: median(figures.bare) }
}

async function saySizes(url: string, records: number): Promise<void> {
  const client = new pg.Client(url)
  await client.connect()
  const { rows } = await client.query<{ name: string; size: string }>(
    'SELECT relname AS name, pg_total_relation_size(oid) AS size FROM pg_class WHERE relname = ANY($1)',
    [['records', 'rollups', 'rollup_hours']],
  )
  for (const { name, size } of rows)
    console.error(`bench: ${name}: ${Math.round(Number(size) / records)} bytes a record`)
  await client.end()
}

async function bareInserts(url: string, { batches }: Load, together: number) {
  const client = new pg.Client(url)
  await client.connect()
  const columns = [...STORED_COLUMNS, 'ledger'].map((column) => `"${column}"`)
  const groups = inGroups(batches, together).map((group) =>
    group.flatMap(({ records }) =>
      records.map(({ record, changeSeq }): Cell[] => [...toStored(record, changeSeq), 1]),
    ),
  )
  return async () => {
    for (const rows of groups) {
      await client.query('BEGIN')
      for (const part of inGroups(rows, ROWS_A_STATEMENT)) {
        const places = part.map(
          (_, row) =>
            `(${columns.map((__, at) => `$${row * columns.length + at + 1}`).join(', ')})`,
        )
        await client.query(
          `INSERT INTO records (${columns.join(', ')}) VALUES ${places.join(', ')}`,
          part.flat(),
        )
      }
      await client.query('COMMIT')
    }
    await client.end()
  }
}
