// The rollups: which sums are kept, of what, by which period. Pure; the databases only add what `deltas` says.
//
// A cut is a set of keys by which sums are kept; the sums of one combination of their values are an entity's. `all` has
// what a question about people and images may mix, `node_state` the same for nodes; the others answer what is asked most
// often from few rows. Hours are kept of three cuts only, because each cut more is a write more for nearly every record.
import { beginOf, HOUR_MS, type Grain } from './periods.js'
import { contributionOf, type Sums } from './contribution.js'
import { AT, type StoredRow } from './stored-row.js'

export const ENTITY_KEYS = ['cluster', 'uid', 'user', 'account', 'image', 'node', 'state'] as const
export type EntityKey = (typeof ENTITY_KEYS)[number]

/** The keys of each cut, fewest rows first; the numbers are what the databases keep. */
export const CUTS = {
  total: { number: 0, keys: ['cluster', 'state'], hours: 'total' },
  account: { number: 1, keys: ['cluster', 'account'], hours: 'all' },
  user: { number: 2, keys: ['cluster', 'uid', 'user'], hours: 'all' },
  image: { number: 3, keys: ['cluster', 'image'], hours: 'all' },
  node: { number: 4, keys: ['cluster', 'node'], hours: 'node_state' },
  node_state: { number: 5, keys: ['cluster', 'node', 'state'], hours: 'node_state' },
  all: {
    number: 6,
    keys: ['cluster', 'uid', 'user', 'account', 'image', 'state'],
    hours: 'all',
  },
} as const satisfies Record<
  string,
  { number: number; keys: readonly EntityKey[]; hours: 'total' | 'all' | 'node_state' }
>
export type Cut = keyof typeof CUTS

/** One combination of the values of a cut's keys; null for keys that the cut does not have, or the record has not. */
export interface Entity {
  readonly cut: Cut
  readonly values: Readonly<Record<EntityKey, string | number | null>>
  /** Of fewer keys, to which this one's sums are added. */
  readonly within: readonly Entity[]
  /** The database's number, once it is known. */
  id: number | undefined
}

export interface RollupDelta {
  readonly entity: Entity
  readonly grain: Grain
  /** The period's begin, in hours since the epoch. */
  readonly period: number
  readonly sums: Sums
}

export interface Tally {
  /** A record's part is added (1) or taken away again (-1). */
  count(row: StoredRow, sign: 1 | -1): void
  /** What is to be added to the rollups; nothing where it all cancels out. To be asked once. */
  deltas(folded: Folded): Iterable<RollupDelta>
}

/**
 * Weeks and months that began before these hours are kept; of what is younger the days are, until it is folded. So what
 * ends now is written to its hour and its day alone, and what comes late finds its weeks and months.
 */
export interface Folded {
  readonly week: number
  readonly month: number
}

/** Long enough that few records come after their week or month has been folded. */
const FOLD_AFTER_HOURS = 48

/** What should be folded by now; never before what is. */
export function toBeFolded(nowMs: number, folded: Folded | undefined): Folded {
  const before = Math.floor(nowMs / HOUR_MS) - FOLD_AFTER_HOURS
  return {
    week: Math.max(beginOf('week', before), folded?.week ?? -Infinity),
    month: Math.max(beginOf('month', before), folded?.month ?? -Infinity),
  }
}

/** Entities by their values; what they share is found once, not once a record. */
export type Directory = Map<string, Entity>

type Counted = Map<Entity, Map<number, Sums>>

export function createTally(directory: Directory): Tally {
  const hours: Counted = new Map()
  return {
    count: (row, sign) => {
      const contribution = contributionOf(row)
      if (contribution === undefined) return
      const { hour, sums } = contribution
      add(hours, mixedEntity(directory, row), hour, sums, sign)
      add(hours, nodeEntity(directory, row), hour, sums, sign)
    },
    deltas: (folded) => deltasOf(hours, folded),
  }
}

function* deltasOf(hours: Counted, folded: Folded): Iterable<RollupDelta> {
  addWithin(hours, 'total')
  const days = coarser(hours, 'day')
  addWithin(days)
  yield* listed(hours, 'hour')
  yield* listed(days, 'day')
  yield* listed(coarser(days, 'week', folded.week), 'week')
  yield* listed(coarser(days, 'month', folded.month), 'month')
}

/** Adds each entity's sums to the entities that it is part of (of one cut alone: the hours). */
function addWithin(counted: Counted, cut?: Cut): void {
  for (const [entity, periods] of [...counted]) {
    for (const outer of entity.within) {
      // The days of `total` are the sums of its hours already.
      if (cut === undefined ? outer.cut === 'total' : outer.cut !== cut) continue
      for (const [period, sums] of periods) add(counted, outer, period, sums, 1)
    }
  }
}

function coarser(counted: Counted, grain: Grain, before = Infinity): Counted {
  const result: Counted = new Map()
  for (const [entity, periods] of counted) {
    for (const [period, sums] of periods) {
      if (period < before) add(result, entity, beginOf(grain, period), sums, 1)
    }
  }
  return result
}

function* listed(counted: Counted, grain: Grain): Iterable<RollupDelta> {
  for (const [entity, periods] of counted) {
    for (const [period, sums] of periods) {
      if (sums.some((sum) => sum !== 0)) yield { entity, grain, period, sums: sums.map(storable) }
    }
  }
}

/** What one batch of absurd records adds up to must not be more than a column holds. */
const MOST = 2 ** 56
const storable = (sum: number): number => Math.max(-MOST, Math.min(MOST, sum))

function add(counted: Counted, entity: Entity, period: number, sums: Sums, sign: number): void {
  let periods = counted.get(entity)
  if (periods === undefined) counted.set(entity, (periods = new Map<number, Sums>()))
  const known = periods.get(period)
  if (known === undefined) {
    periods.set(period, sign === 1 ? sums.slice() : sums.map((sum) => -sum))
    return
  }
  for (let index = 0; index < known.length; index++)
    known[index] = (known[index] ?? 0) + sign * (sums[index] ?? 0)
}

function mixedEntity(directory: Directory, row: StoredRow): Entity {
  const [cluster, uid, user] = [text(row, AT.cluster), row[AT.uid] ?? null, text(row, AT.user)]
  const [account, image, state] = [text(row, AT.account), text(row, AT.image), text(row, AT.state)]
  const key = `${part(cluster)}\0${uid}\0${part(user)}\0${part(account)}\0${part(image)}\0${part(state)}`
  return (
    directory.get(key) ??
    enter(directory, key, 'all', { cluster, uid, user, account, image, state }, [
      entityOf(directory, 'total', { cluster, state }),
      entityOf(directory, 'account', { cluster, account }),
      entityOf(directory, 'user', { cluster, uid, user }),
      entityOf(directory, 'image', { cluster, image }),
    ])
  )
}

function nodeEntity(directory: Directory, row: StoredRow): Entity {
  const [cluster, node, state] = [text(row, AT.cluster), text(row, AT.node), text(row, AT.state)]
  const key = `${part(cluster)}\0${part(node)}\0${part(state)}`
  return (
    directory.get(key) ??
    enter(directory, key, 'node_state', { cluster, node, state }, [
      entityOf(directory, 'node', { cluster, node }),
    ])
  )
}

/** No text that is kept has half of a surrogate pair, or NUL, so that a key cannot mean two things. */
const part = (value: string | null): string => value ?? '\ud800'

type Values = Partial<Record<EntityKey, string | number | null>>

function entityOf(directory: Directory, cut: Cut, values: Values): Entity {
  const key = JSON.stringify([cut, values])
  return directory.get(key) ?? enter(directory, key, cut, values, [])
}

function enter(
  directory: Directory,
  key: string,
  cut: Cut,
  values: Values,
  within: readonly Entity[],
): Entity {
  const entity: Entity = { cut, values: { ...NOTHING, ...values }, within, id: undefined }
  directory.set(key, entity)
  return entity
}

const NOTHING = Object.fromEntries(ENTITY_KEYS.map((key) => [key, null])) as Record<EntityKey, null>

/** An index of PostgreSQL holds 2,704 bytes: names are told apart by their first characters alone. */
const NAME_CHARACTERS = 512

function text(row: StoredRow, at: number): string | null {
  const whole = (row[at] ?? null) as string | null
  return whole === null || whole.length <= NAME_CHARACTERS
    ? whole
    : whole.slice(0, NAME_CHARACTERS).replace(/[\ud800-\udbff]$/, '')
}
