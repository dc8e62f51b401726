// The store's benchmark: durable records a second beside bare inserts, and how long summaries take as records become many.
//   store [ingest] [postgres] [usage]: these parts; all of them without a word.
import { ingestFigures, SHAPES } from './store-ingest.js'
import { postgresFigures } from './store-postgres.js'
import { usageFigures } from './store-usage.js'

const DIRECTORY = '/var/tmp/hepwrap-bench'
const MILLION = 1_000_000

type Cells = readonly string[]

async function main(words: readonly string[]): Promise<void> {
  const wants = (part: string) => words.length === 0 || words.includes(part)
  const rate = (value: number) => `${Math.round(value).toLocaleString('en')}/s`
  if (wants('ingest')) {
    const rows: Cells[] = []
    for (const shape of SHAPES) {
      const { what, store, fromLines, bare } = await ingestFigures(`${DIRECTORY}/ingest`, shape)
      const add = (from: string, value: number) =>
        rows.push([`${what}, ${from}`, rate(value), rate(bare), (value / bare).toFixed(2)])
      add('from parsed records', store)
      add('from NDJSON bytes', fromLines)
    }
    print(['SQLite, durable records', 'store', 'bare inserts', 'ratio'], rows)
  }
  if (wants('postgres')) {
    const rows: Cells[] = []
    for (const shape of SHAPES) {
      const { store, bare } = await postgresFigures(shape)
      rows.push([
        `${shape.what}, from parsed records`,
        rate(store),
        rate(bare),
        (store / bare).toFixed(2),
      ])
    }
    print(['PostgreSQL, durable records', 'store', 'bare inserts', 'ratio'], rows)
  }
  if (wants('usage')) {
    const one = await usageFigures(`${DIRECTORY}/usage`, MILLION)
    const ten = await usageFigures(`${DIRECTORY}/usage`, 10 * MILLION)
    const ms = (value: number) => `${value.toFixed(1)} ms`
    const rows = [...one].map(([what, took]) => {
      const more = ten.get(what) ?? NaN
      return [what, ms(took), ms(more), (more / took).toFixed(2)]
    })
    print(['SQLite, usage summary', '1 million records', '10 million', 'ratio'], rows)
  }
}

function print(head: Cells, rows: readonly Cells[]): void {
  const table = [head, ...rows]
  const widths = head.map((_, column) => Math.max(...table.map((row) => row[column]!.length)))
  for (const row of table)
    console.log(
      row
        .map((cell, at) => (at === 0 ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!)))
        .join('  '),
    )
  console.log()
}

await main(process.argv.slice(2))
