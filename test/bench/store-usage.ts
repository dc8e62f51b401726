// How long a summary takes, over 1 and 10 million records of the same year. The rollups are made by the store's own code from
// as many made-up records; the records themselves lie beside them, without their indexes, because no question here reads them.
import { mkdirSync, rmSync, statSync } from 'node:fs'
import type { UsageQuestion } from '../../src/store/store.js'
import { createEntityIds } from '../../src/store/sqlite/entity-ids.js'
import { createFold } from '../../src/store/sqlite/fold.js'
import { openForWriting } from '../../src/store/sqlite/database.js'
import { createRollupWriter } from '../../src/store/sqlite/write.js'
import { STORED_COLUMNS, toStored } from '../../src/store/stored-row.js'
import { createTally } from '../../src/store/rollup.js'
import type { UsageKey } from '../../src/wire/report-api.js'
import { openBuiltStore } from '../support/built-store.js'
import { median } from './figures.js'
import { anywhere, createRandom, makeCountedRow, makeRow, NOW_MS, SITE } from './store-rows.js'

const DAY_MS = 86_400_000
const REPEATS = 7
const KEYS: readonly UsageKey[] = ['user', 'account', 'image', 'node', 'day']
const PERIODS = { 'last 30 days': NOW_MS - 30 * DAY_MS, 'whole time': undefined }

/** Question → ms. */
export type UsageFigures = ReadonlyMap<string, number>

export async function usageFigures(directory: string, records: number): Promise<UsageFigures> {
  rmSync(directory, { recursive: true, force: true })
  mkdirSync(directory, { recursive: true })
  const path = `${directory}/store.db`
  build(path, records)
  console.error(`bench: ${records} records in ${(statSync(path).size / 2 ** 20).toFixed(0)} MiB`)
  const store = await openBuiltStore(`sqlite:${path}`)
  const figures = new Map<string, number>()
  for (const [period, sinceMs] of Object.entries(PERIODS)) {
    for (const key of KEYS) {
      const filter = sinceMs === undefined ? {} : { sinceMs }
      const question: UsageQuestion = { by: [key], filter, top: undefined }
      const took: number[] = []
      for (let round = 0; round <= REPEATS; round++) {
        const began = performance.now()
        await store.usage(question, { uid: undefined })
        if (round > 0) took.push(performance.now() - began) // the first one warms
      }
      figures.set(`${period}, by ${key}`, median(took))
    }
  }
  await store.close()
  rmSync(directory, { recursive: true })
  return figures
}

function build(path: string, records: number): void {
  const db = openForWriting(path)
  db.pragma('synchronous = OFF')
  const random = createRandom(records)
  const ids = createEntityIds(db)
  const addToRollups = createRollupWriter(db)
  const folded = db.transaction(() => createFold(db)(NOW_MS))()
  // As time went: a week after the other.
  const weeks = Math.ceil(SITE.days / 7)
  for (let week = 0; week < weeks; week++) {
    const tally = createTally(ids.directory)
    const daysAgo = SITE.days - week * 7
    for (let row = 0; row < records / weeks; row++)
      tally.count(makeCountedRow(random, daysAgo, Math.min(7, daysAgo)), 1)
    db.transaction(() => {
      ids.begin()
      for (const delta of tally.deltas(folded)) addToRollups(delta, ids.idOf(delta.entity))
      ids.end()
    })()
  }
  if (process.env['HEPWRAP_BENCH_ROWS'] !== '0') fillRecords(db, records)
  db.close()
}

/** A thousand records, as often as it takes, each with an id of its own. */
function fillRecords(db: ReturnType<typeof openForWriting>, records: number): void {
  const random = createRandom(1)
  for (const index of ['created', 'uid', 'closed', 'job', 'array', 'long'])
    db.exec(`DROP INDEX records_${index}`)
  const columns = [...STORED_COLUMNS, 'ledger'].map((column) => `"${column}"`)
  const insert = db.prepare(
    `INSERT INTO records (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')})`,
  )
  const template = Math.min(1000, records)
  db.transaction(() => {
    for (let row = 0; row < template; row++)
      insert.run(toStored(makeRow(random, anywhere(random)), 0), 1)
  })()
  const copied = columns.map((column, index) =>
    index === 0 ? "printf('%032x', r.seq + s.value * 1000)" : `r.${column}`,
  )
  db.exec(`INSERT INTO records (${columns.join(', ')}) SELECT ${copied.join(', ')}
    FROM (WITH RECURSIVE s(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM s WHERE value < ${records / template - 1}) SELECT value FROM s) AS s
    CROSS JOIN records AS r WHERE r.seq <= ${template}`)
}
