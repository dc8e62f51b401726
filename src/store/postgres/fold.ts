// Folding days into weeks and months in PostgreSQL, and how far that has come.
import type { ClientBase } from 'pg'
import { foldSql } from '../fold-sql.js'
import { toBeFolded, type Folded } from '../rollup.js'
import { POSTGRES } from './connections.js'

export async function readFolded(client: ClientBase): Promise<Folded | undefined> {
  const { rows } = await client.query<{ value: string }>(
    "SELECT value FROM marks WHERE name = 'folded'",
  )
  return rows[0] === undefined ? undefined : (JSON.parse(rows[0].value) as Folded)
}

/** To be called in the transaction of what counts by the answer. */
export async function foldNow(client: ClientBase, nowMs: number): Promise<Folded> {
  const folded = await readFolded(client)
  const wanted = toBeFolded(nowMs, folded)
  if (folded !== undefined && folded.week >= wanted.week && folded.month >= wanted.month)
    return folded
  if (folded !== undefined) {
    for (const grain of ['week', 'month'] as const) {
      const { text, values } = foldSql(grain, folded[grain], wanted[grain], POSTGRES)
      await client.query(text, [...values])
    }
  }
  await client.query(
    "INSERT INTO marks VALUES ('folded', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    [JSON.stringify(wanted)],
  )
  return wanted
}
