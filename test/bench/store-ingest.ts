// How many records a second are durable: the store beside bare inserts of the same rows into the same tables, in
// transactions of the same size, with the same settings. In turns, so that both meet the same disk.
import { randomBytes } from 'node:crypto'
import { mkdirSync, rmSync } from 'node:fs'
import { openForWriting } from '../../src/store/sqlite/database.js'
import { STORED_COLUMNS, toStored, type StoredRow } from '../../src/store/stored-row.js'
import type { Batch, Store } from '../../src/store/store.js'
import type { UsageRecord } from '../../src/wire/usage-api.js'
import { openBuiltStore } from '../support/built-store.js'
import { median } from './figures.js'
import { createRandom, makeRow, nodeName, NOW_MS } from './store-rows.js'

export interface Shape {
  readonly what: string
  readonly batches: number
  readonly records: number
  /** Batches that are committed together. */
  readonly together: number
}

/** After a day's outage, and as they come. */
export const SHAPES: readonly Shape[] = [
  {
    what: 'nodes drain a day, 1,000 a batch, 8 batches together',
    batches: 48,
    records: 1000,
    together: 8,
  },
  {
    what: 'nodes send as runs end, 10 a batch, 200 batches together',
    batches: 2400,
    records: 10,
    together: 200,
  },
]

const ROUNDS = 3
const DAY_MS = 86_400_000

export interface Load {
  readonly batches: readonly Batch[]
  readonly lines: readonly string[]
}

export interface IngestFigures {
  readonly what: string
  readonly store: number
  readonly fromLines: number
  readonly bare: number
}

export async function ingestFigures(directory: string, shape: Shape): Promise<IngestFigures> {
  const figures = { store: [] as number[], fromLines: [] as number[], bare: [] as number[] }
  for (let round = 0; round < ROUNDS; round++) {
    const load = makeLoad(shape, round)
    const before = makeLoad(shape, round + ROUNDS).batches
    const total = shape.batches * shape.records
    const rate = async (
      name: keyof typeof figures,
      run: (path: string) => Promise<() => Promise<void>>,
    ) => {
      const home = `${directory}/${name}`
      rmSync(home, { recursive: true, force: true })
      mkdirSync(home, { recursive: true })
      // The users, images and nodes of a site are known, but for its first day.
      await ingests(await openBuiltStore(`sqlite:${home}/store.db`), before, shape.together)()
      const timed = await run(`${home}/store.db`)
      const began = performance.now()
      await timed()
      figures[name].push(total / ((performance.now() - began) / 1000))
      rmSync(home, { recursive: true })
    }
    await rate('bare', async (path) => bareInserts(path, load, shape.together))
    await rate('store', async (path) =>
      ingests(await openBuiltStore(`sqlite:${path}`), load.batches, shape.together),
    )
    await rate('fromLines', async (path) =>
      ingestsLines(await openBuiltStore(`sqlite:${path}`), load, shape.together),
    )
  }
  return {
    what: shape.what,
    store: median(figures.store),
    fromLines: median(figures.fromLines),
    bare: median(figures.bare),
  }
}

export function makeLoad({ batches, records }: Shape, round: number): Load {
  const random = createRandom(round + 1)
  const live = records < 100
  const made: Batch[] = Array.from({ length: batches }, (_, node) => ({
    range: {
      cluster: 'hepp',
      node: nodeName(node),
      ledger: randomBytes(16).toString('hex'),
      after: 0,
      upto: records,
    },
    receivedAtMs: NOW_MS,
    records: Array.from({ length: records }, (_, index) => ({
      record: makeRow(random, {
        node,
        endedMs: NOW_MS - Math.floor(random() * (live ? 60_000 : DAY_MS)),
      }),
      changeSeq: index + 1,
    })),
  }))
  const lines = made.map((batch) =>
    batch.records
      .map(({ record, changeSeq }) => JSON.stringify({ ...record, change_seq: changeSeq }))
      .join('\n'),
  )
  return { batches: made, lines }
}

export async function bareInserts(path: string, { batches }: Load, together: number) {
  const db = openForWriting(path)
  const columns = [...STORED_COLUMNS, 'ledger'].map((column) => `"${column}"`)
  const insert = db.prepare(
    `INSERT INTO records (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')})`,
  )
  const groups = inGroups(batches, together).map((group) =>
    group.flatMap(({ records }) =>
      records.map(({ record, changeSeq }): StoredRow => toStored(record, changeSeq)),
    ),
  )
  const commit = db.transaction((rows: readonly StoredRow[]) => {
    for (const row of rows) insert.run(row, 1)
  })
  return async () => {
    for (const rows of groups) commit.immediate(rows)
    db.close()
  }
}

/** The next group is on its way while one is committed, as in the service. */
export function ingests(store: Store, batches: readonly Batch[], together: number) {
  return async () => {
    let before: Promise<unknown> = Promise.resolve()
    for (const group of inGroups(batches, together)) {
      const now = store.ingest(group)
      await before
      before = now
    }
    await before
    await store.close()
  }
}

function ingestsLines(store: Store, { batches, lines }: Load, together: number) {
  const texts = inGroups(
    lines.map((text, index) => ({ text, range: batches[index]!.range })),
    together,
  )
  const bodies = texts.map((group) =>
    group.map(({ text, range }) => ({ bytes: Buffer.from(text), range })),
  )
  return async () => {
    let before: Promise<unknown> = Promise.resolve()
    for (const group of bodies) {
      const parsed = group.map(({ bytes, range }): Batch => ({
        range,
        receivedAtMs: NOW_MS,
        records: bytes
          .toString()
          .split('\n')
          .map((line) => {
            const { change_seq: changeSeq, ...record } = JSON.parse(line) as UsageRecord & {
              change_seq: number
            }
            return { record, changeSeq }
          }),
      }))
      const now = store.ingest(parsed)
      await before
      before = now
    }
    await before
    await store.close()
  }
}

export const inGroups = <T>(list: readonly T[], size: number): T[][] =>
  Array.from({ length: Math.ceil(list.length / size) }, (_, index) =>
    list.slice(index * size, (index + 1) * size),
  )
