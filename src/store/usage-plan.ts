// A question about usage → which rollups answer it: pure.
import { HepwrapError } from '../base/errors.js'
import type { UsageKey } from '../wire/report-api.js'
import { HOUR_MS, piecesOf, type Grain, type Piece, type Span } from './periods.js'
import { CUTS, ENTITY_KEYS, type Cut, type EntityKey, type Folded } from './rollup.js'
import type { StoreScope, UsageFilter, UsageQuestion } from './store.js'

export interface UsagePlan {
  /** The keys of the rows, in the order that was asked for, without the period. */
  readonly keys: readonly EntityKey[]
  readonly period: Grain | undefined
  readonly span: Span
  /** Undefined: no rollup has all of the keys, and the records themselves are counted. */
  readonly pieces: readonly PlannedPiece[] | undefined
}

export interface PlannedPiece extends Piece {
  readonly cut: Cut
}

const PERIODS: readonly UsageKey[] = ['hour', 'day', 'week', 'month']

/** From coarse to fine. A week is no part of a month: between months it only fills the rest. */
const GRAINS_FOR: Readonly<Record<Grain | 'none', readonly Grain[]>> = {
  hour: ['hour'],
  day: ['day', 'hour'],
  week: ['week', 'day', 'hour'],
  month: ['month', 'week', 'day', 'hour'],
  none: ['month', 'week', 'day', 'hour'],
}

export function planUsage(
  { by, filter }: UsageQuestion,
  scope: StoreScope,
  folded: Folded,
): UsagePlan {
  const isPeriod = (key: UsageKey): key is Grain => PERIODS.includes(key)
  const [period, second] = by.filter(isPeriod)
  if (second !== undefined)
    throw new HepwrapError('HW_OPTION_INVALID', `by ${by.join(',')}: one period at most`)
  const keys = [...new Set(by.filter((key) => !isPeriod(key)))] as EntityKey[]
  const span = spanOf(filter)
  const cut = cutWith([...keys, ...filteredKeys(filter, scope)])
  return {
    keys,
    period,
    span,
    pieces:
      cut &&
      piecesOf(
        span,
        GRAINS_FOR[period ?? 'none'].map((grain) => ({ grain, upTo: keptUpTo(grain, folded) })),
      ).map((piece) => ({ ...piece, cut: piece.grain === 'hour' ? CUTS[cut].hours : cut })),
  }
}

const hourOf = (epochMs: number | undefined, otherwise: number) =>
  epochMs === undefined ? otherwise : Math.floor(epochMs / HOUR_MS)

const spanOf = ({ sinceMs, untilMs }: UsageFilter): Span => ({
  from: hourOf(sinceMs, -Infinity),
  to: hourOf(untilMs, Infinity),
})

const keptUpTo = (grain: Grain, folded: Folded): number =>
  grain === 'week' || grain === 'month' ? folded[grain] : Infinity

/** By which keys a question looks at rows, beside those that it shows. */
function filteredKeys(filter: UsageFilter, scope: StoreScope): readonly EntityKey[] {
  const keys = namedIn(filter).map(([key]) => key)
  return scope.uid === undefined ? keys : [...keys, 'uid']
}

/** The names that a filter asks for, by the key that they are of; none where it has no condition. */
export function namedIn(filter: UsageFilter): readonly (readonly [EntityKey, readonly string[]])[] {
  const { clusters = [], users = [], accounts = [], images = [], nodes = [], states = [] } = filter
  const named: readonly (readonly [EntityKey, readonly string[]])[] = [
    ['cluster', clusters],
    ['user', users],
    ['account', accounts],
    ['image', images],
    ['node', nodes],
    ['state', states],
  ]
  return named.filter(([, names]) => names.length > 0)
}

/** The cut with the fewest rows that has all of the keys. */
function cutWith(keys: readonly EntityKey[]): Cut | undefined {
  const wanted = ENTITY_KEYS.filter((key) => keys.includes(key))
  return (Object.keys(CUTS) as Cut[]).find((cut) => {
    const has: readonly EntityKey[] = CUTS[cut].keys
    return wanted.every((key) => has.includes(key))
  })
}
