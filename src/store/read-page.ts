// One page of records out of as many steps as it takes, so that whoever else reads waits for a step and not for a page.
import { fromStored, STORED_COLUMNS, type StoredRow } from './stored-row.js'
import {
  fromCursor,
  stretchesOf,
  toCursor,
  type Place,
  type StepQuestion,
  type Stretch,
} from './records-sql.js'
import type { Cursor, RecordsFilter, RecordsPage, StoreScope } from './store.js'

/** How many rows a step looks at: some ten milliseconds. */
export const STEP_ROWS = 20_000

export interface Step {
  /** With `seq` as their last cell. */
  readonly rows: readonly StoredRow[]
  /** Where to go on; undefined: the stretch is at its end. */
  readonly end: Place | undefined
}

export type ReadStep = (question: StepQuestion, limit: number) => Promise<Step>

export async function readPage(
  readStep: ReadStep,
  filter: RecordsFilter,
  scope: StoreScope,
  page: { readonly after: Cursor | undefined; readonly limit: number },
): Promise<RecordsPage> {
  const wanted = page.limit + 1 // one more, to know whether there is one
  const rows: StoredRow[] = []
  let after = page.after === undefined ? undefined : fromCursor(page.after)
  for (const stretch of stretchesOf(filter)) {
    if (isBehind(stretch, after)) continue
    for (let goesOn = true; goesOn && rows.length < wanted;) {
      const step = await readStep({ filter, scope, stretch, after }, wanted - rows.length)
      rows.push(...step.rows)
      goesOn = step.end !== undefined
      after = step.end ?? after
    }
  }
  const shown = rows.slice(0, page.limit)
  const last = shown.at(-1)
  return {
    records: shown.map(fromStored),
    next: rows.length > page.limit && last !== undefined ? toCursor(placeOf(last)) : undefined,
  }
}

/** The long ones lie before the rest: a reader who has come further is done with them. */
const isBehind = ({ kind, sinceMs }: Stretch, after: Place | undefined): boolean =>
  kind === 'long' && sinceMs !== undefined && after !== undefined && after.createdMs >= sinceMs

const CREATED_AT = STORED_COLUMNS.indexOf('created_at')

export const placeOf = (row: StoredRow): Place => ({
  createdMs: Number(row[CREATED_AT]),
  seq: Number(row[STORED_COLUMNS.length]),
})
