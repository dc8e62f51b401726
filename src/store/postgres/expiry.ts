// Records that go after their time, and the memory that they were there.
import type { ClientBase } from 'pg'
import { AT, type StoredRow } from '../stored-row.js'

/** A record's time of creation never changes: what is younger than all that expired has not. */
export async function expiredAmong(
  client: ClientBase,
  rows: readonly StoredRow[],
): Promise<(row: StoredRow) => boolean> {
  const { rows: marks } = await client.query<{ value: string }>(
    "SELECT value FROM marks WHERE name = 'expired_created'",
  )
  const youngest = Number(marks[0]?.value ?? -Infinity)
  const old = rows.filter((row) => Number(row[AT.created_at]) <= youngest)
  if (old.length === 0) return () => false
  const { rows: found } = await client.query<{ id: Buffer }>(
    'SELECT id FROM expired WHERE id = ANY($1::bytea[])',
    [old.map((row) => compact(String(row[AT.id])))],
  )
  const gone = new Set(found.map(({ id }) => id.toString('hex')))
  return (row) => gone.has(compact(String(row[AT.id])).toString('hex'))
}

export async function expire(client: ClientBase, beforeMs: number, limit: number): Promise<number> {
  const { rows } = await client.query<{ seq: number; id: string; created_at: number }>(
    'SELECT seq, id, created_at FROM records WHERE closed_ms < $1 ORDER BY closed_ms LIMIT $2',
    [beforeMs, limit],
  )
  if (rows.length === 0) return 0
  await client.query(
    'INSERT INTO expired SELECT * FROM unnest($1::bytea[]) ON CONFLICT DO NOTHING',
    [rows.map(({ id }) => compact(id))],
  )
  await client.query('DELETE FROM records WHERE seq = ANY($1::bigint[])', [
    rows.map(({ seq }) => seq),
  ])
  const youngest = rows.reduce((latest, { created_at: at }) => Math.max(latest, at), -Infinity)
  await client.query(
    `INSERT INTO marks VALUES ('expired_created', $1) ON CONFLICT (name)
      DO UPDATE SET value = greatest(marks.value::bigint, excluded.value::bigint)::text`,
    [String(youngest)],
  )
  return rows.length
}

/** Ids are 32 hex digits mostly: 16 bytes, for as long as the store lives. */
const compact = (id: string): Buffer =>
  /^[0-9a-f]{32}$/.test(id) ? Buffer.from(id, 'hex') : Buffer.from(`\0${id}`)
