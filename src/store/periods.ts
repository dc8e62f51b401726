// Hours, days, ISO weeks and months in UTC, as hours since the epoch, and how a span of time is put together from them.

/** From fine to coarse; the numbers are what the databases keep. */
export const GRAINS = { hour: 0, day: 1, week: 2, month: 3 } as const
export type Grain = keyof typeof GRAINS

export const HOUR_MS = 3_600_000

/** Hours since the epoch; `Infinity` both ways where a span has no end. */
export interface Span {
  readonly from: number
  readonly to: number
}

/** A piece of a span: whole periods of one grain. */
export interface Piece extends Span {
  readonly grain: Grain
}

/** The first hour of the period in which an hour lies. */
export function beginOf(grain: Grain, hour: number): number {
  if (!Number.isFinite(hour)) return hour
  switch (grain) {
    case 'hour':
      return Math.floor(hour)
    case 'day':
      return Math.floor(hour / 24) * 24
    case 'week': {
      const day = Math.floor(hour / 24)
      return (day - modulo(day + 3, 7)) * 24 // 1970-01-01 was a Thursday
    }
    case 'month':
      return monthsFrom(hour, 0)
  }
}

/** The first begin of a period at or after an hour. */
function nextBegin(grain: Grain, hour: number): number {
  const begin = beginOf(grain, hour)
  if (begin === hour) return hour
  return grain === 'month' ? monthsFrom(hour, 1) : begin + { hour: 1, day: 24, week: 168 }[grain]
}

function monthsFrom(hour: number, months: number): number {
  const date = new Date(hour * HOUR_MS)
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + months) / HOUR_MS
}

const modulo = (value: number, by: number) => ((value % by) + by) % by

/** A grain and the hour (a begin of one of its periods) up to which it is there. */
export interface Kept {
  readonly grain: Grain
  readonly upTo: number
}

/** Finer grains at the ends, the coarsest that fit between them: few rows, however long the span. */
export function piecesOf(span: Span, grains: readonly Kept[]): readonly Piece[] {
  const [kept, ...finer] = grains
  if (kept === undefined || span.from >= span.to) return []
  const { grain, upTo } = kept
  const [begin, end] = [nextBegin(grain, span.from), Math.min(beginOf(grain, span.to), upTo)]
  if (begin > end) return piecesOf(span, finer)
  return [
    ...piecesOf({ from: span.from, to: begin }, finer),
    ...(begin < end ? [{ grain, from: begin, to: end }] : []),
    ...piecesOf({ from: end, to: span.to }, finer),
  ]
}
