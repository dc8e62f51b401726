import { describe, expect, it } from 'vitest'
import {
  dayMs,
  type Grain,
  grainOf,
  nextPeriod,
  type Per,
  periodOf,
  periodsOf,
  type Range,
  spanOf,
} from '../../../src/page/dates.js'

const at = (text: string) => Date.parse(text)
const NOW = at('2026-11-20T16:44:10Z') // a Friday

describe('a time that is looked at', () => {
  it.each<[Range, string, string]>([
    [{ preset: '24h' }, '2026-11-19T17:00Z', '2026-11-20T17:00Z'],
    [{ preset: '7d' }, '2026-11-14T00:00Z', '2026-11-21T00:00Z'],
    [{ preset: '30d' }, '2026-10-22T00:00Z', '2026-11-21T00:00Z'],
    [{ preset: '12mo' }, '2025-12-01T00:00Z', '2026-11-21T00:00Z'],
    [{ from: '2026-11-01', to: '2026-11-03' }, '2026-11-01T00:00Z', '2026-11-04T00:00Z'],
    [{ from: '2026-11-03', to: '2026-11-01' }, '2026-11-01T00:00Z', '2026-11-04T00:00Z'],
    [{ from: '2026-11-01', to: '2026-11-01' }, '2026-11-01T00:00Z', '2026-11-02T00:00Z'],
  ])('%j', (range, since, until) => {
    expect(spanOf(range, NOW)).toEqual({ sinceMs: at(since), untilMs: at(until) })
  })

  it.each(['2026-02-29', '2026-13-01', '2026-1-1', '', 'today', '2026-11-01T00:00'])(
    'has no day "%s"',
    (text) => expect(dayMs(text)).toBeUndefined(),
  )

  it.each<[number, Per, Grain]>([
    [1, 'auto', 'hour'],
    [7, 'auto', 'day'],
    [30, 'auto', 'day'],
    [355, 'auto', 'week'],
    [1000, 'auto', 'month'],
    [7, 'hour', 'hour'],
    [30, 'month', 'month'],
    [355, 'hour', 'week'], // 8,520 bars are none
  ])('of %i days per %s is in steps of a %s', (days, per, grain) => {
    expect(grainOf({ sinceMs: NOW - days * 86_400_000, untilMs: NOW }, per)).toBe(grain)
  })
})

describe('periods', () => {
  it.each<[Grain, string, string]>([
    ['hour', '2026-11-20T16:00Z', '2026-11-20T17:00Z'],
    ['day', '2026-11-20T00:00Z', '2026-11-21T00:00Z'],
    ['week', '2026-11-16T00:00Z', '2026-11-23T00:00Z'],
    ['month', '2026-11-01T00:00Z', '2026-12-01T00:00Z'],
  ])('a %s begins and ends in UTC', (grain, begin, end) => {
    expect(periodOf(NOW, grain)).toBe(at(begin))
    expect(nextPeriod(at(begin), grain)).toBe(at(end))
  })

  it('a week begins on Monday, Sunday is its last day', () => {
    expect(periodOf(at('2026-11-22T23:59Z'), 'week')).toBe(at('2026-11-16T00:00Z'))
    expect(periodOf(at('2026-11-23T00:00Z'), 'week')).toBe(at('2026-11-23T00:00Z'))
  })

  it('touch the span: the first may begin before it', () => {
    const span = { sinceMs: at('2025-12-31T12:00Z'), untilMs: at('2026-02-01T00:00Z') }
    expect(periodsOf(span, 'month')).toEqual([at('2025-12-01T00:00Z'), at('2026-01-01T00:00Z')])
  })
})
