// Many rows in one statement: a column an array, so that neither the text nor the plan depends on how many there are.
import type { ClientBase } from 'pg'
import type { Cell } from '../stored-row.js'

/** `types`: of each column, in the rows' order. */
export async function insertColumns(
  client: ClientBase,
  table: string,
  types: Readonly<Record<string, string>>,
  rows: readonly (readonly Cell[])[],
  onConflict: string,
): Promise<void> {
  if (rows.length === 0) return
  const names = Object.keys(types).map((column) => `"${column}"`)
  const arrays = Object.values(types).map((type, index) => `$${index + 1}::${type}[]`)
  await client.query(
    `INSERT INTO ${table} (${names.join(', ')}) SELECT * FROM unnest(${arrays.join(', ')}) ${onConflict}`,
    names.map((_, index) => rows.map((row) => row[index] ?? null)),
  )
}
