// What batches add to the rollups in PostgreSQL: names and entities get their numbers, sums are added, all at once.
import type { ClientBase } from 'pg'
import { USAGE_SUMS } from '../../wire/usage-sums.js'
import { GRAINS } from '../periods.js'
import { CUTS, type Entity, type RollupDelta } from '../rollup.js'
import type { Cell } from '../stored-row.js'
import { insertColumns } from './columns.js'

/** The numbers of entities; they are the entities' own once the transaction is committed, and nothing before. */
export type EntityNumbers = ReadonlyMap<Entity, number>

export async function addToRollups(
  client: ClientBase,
  deltas: readonly RollupDelta[],
): Promise<EntityNumbers> {
  const numbers = await numberEntities(client, [...new Set(deltas.map(({ entity }) => entity))])
  const rowsOf = (wanted: (delta: RollupDelta) => boolean, first: (delta: RollupDelta) => number) =>
    deltas
      .filter(wanted)
      .map((delta) => [
        ...[first(delta), delta.period, delta.entity.id ?? numbers.get(delta.entity) ?? null],
        ...delta.sums,
      ])
  const grainOf = ({ grain }: RollupDelta) => GRAINS[grain]
  const hours = rowsOf(
    ({ grain }) => grain === 'hour',
    ({ entity }) => CUTS[entity.cut].number,
  )
  const days = rowsOf(({ grain }) => grain === 'day', grainOf)
  const coarse = rowsOf(({ grain }) => grain === 'week' || grain === 'month', grainOf)
  await addSums(client, 'rollup_hours', 'cut', FINE_LIMIT, hours)
  await addSums(client, 'rollups', 'grain', FINE_LIMIT, days)
  await addSums(client, 'rollups', 'grain', COARSE_LIMIT, coarse)
  return numbers
}

/** As in SQLite: sums grow up to these and no further, because an overflow would be an error, for ever. */
const FINE_LIMIT = '100000000000000000'
const COARSE_LIMIT = '4000000000000000000'

async function addSums(
  client: ClientBase,
  table: string,
  first: string,
  limit: string,
  rows: readonly Cell[][],
): Promise<void> {
  const added = USAGE_SUMS.map(
    (field) =>
      `${field} = greatest(-${limit}, least(${limit}, ${table}.${field} + excluded.${field}))`,
  )
  const types = {
    [first]: 'integer',
    period: 'bigint',
    entity: 'bigint',
    ...Object.fromEntries(USAGE_SUMS.map((field) => [field, 'bigint'])),
  }
  const onConflict = `ON CONFLICT (${first}, period, entity) DO UPDATE SET ${added.join(', ')}`
  await insertColumns(client, table, types, rows, onConflict)
}

const NAMED = ['cluster', 'user', 'account', 'image', 'node', 'state'] as const
const COLUMNS = ['cut', 'uid', ...NAMED] as const
const TYPES = Object.fromEntries(
  COLUMNS.map((column) => [column, column === 'cut' ? 'integer' : 'bigint']),
)

async function numberEntities(
  client: ClientBase,
  entities: readonly Entity[],
): Promise<EntityNumbers> {
  const numbers = new Map<Entity, number>()
  const fresh = entities.filter(({ id }) => id === undefined)
  if (fresh.length === 0) return numbers
  const names = await numberNames(client, fresh)
  const nameOf = (name: Cell) => (name === null ? 0 : (names.get(String(name)) ?? 0))
  const rows = fresh.map(({ cut, values }): Cell[] => [
    CUTS[cut].number,
    values.uid ?? -1,
    ...NAMED.map((key) => nameOf(values[key])),
  ])
  await insertColumns(client, 'entities', TYPES, rows, 'ON CONFLICT DO NOTHING')
  const columns = (of: string) => COLUMNS.map((column) => `${of}"${column}"`).join(', ')
  const arrays = COLUMNS.map((_, index) => `$${index + 1}::bigint[]`).join(', ')
  const { rows: numbered } = await client.query<{ at: number; id: number }>(
    `SELECT w.at, e.id FROM unnest(${arrays}) WITH ORDINALITY AS w (${columns('')}, at)
      JOIN entities AS e ON (${columns('e.')}) = (${columns('w.')})`,
    COLUMNS.map((_, index) => rows.map((row) => row[index])),
  )
  for (const { at, id } of numbered) {
    const entity = fresh[at - 1]
    if (entity !== undefined) numbers.set(entity, id)
  }
  return numbers
}

async function numberNames(
  client: ClientBase,
  entities: readonly Entity[],
): Promise<ReadonlyMap<string, number>> {
  const texts = [
    ...new Set(entities.flatMap(({ values }) => NAMED.map((key) => values[key]))),
  ].flatMap((name) => (name === null ? [] : [String(name)]))
  const rows = texts.map((text) => [text])
  await insertColumns(client, 'names', { text: 'text' }, rows, 'ON CONFLICT DO NOTHING')
  const { rows: found } = await client.query<{ id: number; text: string }>(
    'SELECT id, text FROM names WHERE text = ANY($1::text[])',
    [texts],
  )
  return new Map(found.map(({ id, text }) => [text, id]))
}
