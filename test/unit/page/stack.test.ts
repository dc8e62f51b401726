import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { measureOf } from '../../../src/page/measures.js'
import { MAX_SERIES, NOTHING, stackOf, sumsLess } from '../../../src/page/stack.js'
import { TOP, topRows } from '../../../src/page/top-rows.js'
import type { UsageRow } from '../../../src/wire/report-api.js'

const runs = measureOf('runs')
const DAY_MS = 86_400_000
const day = (index: number) => new Date(Date.UTC(2026, 10, 1) + index * DAY_MS).toISOString()
const span = { sinceMs: Date.parse(day(0)), untilMs: Date.parse(day(3)) }

interface Run {
  readonly user: string | null
  readonly day: number
  readonly runs: number
}

/** Sums as the aggregator has them. */
function summed(all: readonly Run[], keys: (run: Run) => Partial<UsageRow>): UsageRow[] {
  const rows = new Map<string, UsageRow>()
  for (const run of all) {
    const id = JSON.stringify(keys(run))
    const row = rows.get(id) ?? { ...NOTHING, ...keys(run) }
    rows.set(id, { ...row, runs: row.runs + run.runs })
  }
  return [...rows.values()]
}

function stacked(all: readonly Run[], isWhole: boolean) {
  const most = summed(all, ({ user }) => ({ user })).sort((a, b) => b.runs - a.runs)
  return stackOf({
    key: 'user',
    measure: runs,
    span,
    grain: 'day',
    top: isWhole ? most : most.slice(0, MAX_SERIES),
    isWhole,
    parts: summed(all, (run) => ({ user: run.user, day: day(run.day) })),
    totals: summed(all, (run) => ({ day: day(run.day) })),
  })
}

const users = (count: number, each = 1): Run[] =>
  Array.from({ length: count }, (_, index) => ({
    user: `u${index}`,
    day: index % 3,
    runs: each + count - index,
  }))

describe('what is stacked', () => {
  it('loses nothing and counts nothing twice', () => {
    const some = fc.array(
      fc.record({
        user: fc.option(fc.constantFrom(...users(30).map(({ user }) => user ?? ''))),
        day: fc.nat(2),
        runs: fc.integer({ min: 1, max: 1e9 }),
      }),
    )
    fc.assert(
      fc.property(some, fc.boolean(), (all, isWhole) => {
        const stack = stacked(all, isWhole)
        expect(stack.total).toBe(all.reduce((sum, run) => sum + run.runs, 0))
        for (const [index, amounts] of stack.amounts.entries())
          expect(amounts.reduce((sum, one) => sum + one, 0)).toBe(
            all.filter((run) => run.day === index).reduce((sum, run) => sum + run.runs, 0),
          )
        expect(stack.series.length).toBeLessThanOrEqual(MAX_SERIES)
      }),
    )
  })

  it('keeps a rest that is small, where it is no error of rounding', () => {
    const small = users(9).map((run) => ({ ...run, day: 0, runs: 1 }))
    const stack = stacked([{ user: 'big', day: 0, runs: 1e9 }, ...small], false)
    expect(stack.series.at(-1)).toMatchObject({ label: 'all others', total: 3 })
    expect(stack.total).toBe(1e9 + 9)
  })

  it.each([
    [8, 8, false],
    [9, 8, true],
    [10_000, 8, true],
  ])('of %i names has %i parts', (count, parts, hasOthers) => {
    const stack = stacked(users(count), count <= 100)
    expect(stack.series.map(({ name }) => name).slice(0, 2)).toEqual(['u0', 'u1'])
    expect(stack.series).toHaveLength(parts)
    expect(stack.series.at(-1)?.name === undefined).toBe(hasOthers)
  })

  it('keeps those without a name apart from all others', () => {
    const stack = stacked([...users(12), { user: null, day: 0, runs: 1000 }], true)
    expect(stack.series[0]).toEqual({ name: null, label: '(none)', total: 1000 })
    expect(stack.series.at(-1)?.label).toBe('all others')
  })

  it('has the periods without any, and leaves names without any of the measure out', () => {
    const stack = stacked(
      [
        { user: 'a', day: 0, runs: 4 },
        { user: 'b', day: 2, runs: 0 },
      ],
      true,
    )
    expect(stack.amounts).toEqual([[4], [0], [0]])
    expect(stack.cells).toEqual([
      { series: 0, from: span.sinceMs, to: span.sinceMs + DAY_MS, low: 0, high: 4 },
    ])
  })
})

describe('a top list', () => {
  const rows = users(TOP + 1).map((run): UsageRow => ({
    ...NOTHING,
    user: run.user,
    runs: run.runs,
  }))
  const all = { ...NOTHING, runs: 1000, failed: 7 }

  it('ends with all others, and its shares are of all', () => {
    const listed = topRows(rows, 'user', runs, all)
    expect(listed).toHaveLength(TOP + 1)
    expect(listed.at(-1)).toMatchObject({ label: 'all others', name: undefined, width: 0 })
    expect(listed.reduce((sum, row) => sum + row.sums.runs, 0)).toBe(1000)
    expect(listed.reduce((sum, row) => sum + row.share, 0)).toBeCloseTo(1)
  })

  it('of few has no others', () => {
    const listed = topRows(rows.slice(0, TOP), 'user', runs, all)
    expect(listed.map(({ name }) => name)).not.toContain(undefined)
    expect(listed[0]?.width).toBe(1)
  })

  it('is never less than nothing where a row came between two questions', () => {
    expect(sumsLess({ ...NOTHING, runs: 1 }, [{ ...NOTHING, runs: 2 }]).runs).toBe(0)
  })
})
