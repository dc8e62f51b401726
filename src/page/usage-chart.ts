// The stacked bars of usage over time, by Observable Plot.
import * as Plot from '@observablehq/plot'
import { type Grain, nextPeriod, periodName } from './dates.js'
import { formatBytes, formatShort, type Measure, withUnit } from './measures.js'
import { tailOf } from './plain-text.js'
import { bare, stateColour, TIP } from './plots.js'
import type { Stack, StackCell } from './stack.js'
import type { StackKey } from './view.js'

export interface UsageChartOptions {
  readonly stack: Stack
  readonly measure: Measure
  readonly grain: Grain
  readonly by: StackKey
  readonly width: number
}

const HEIGHT = 320
const PX_PER_TICK = 84

/** Drawn for eyes; its words for everybody else are `chartWords` and the table beside it. */
export function usageChart(options: UsageChartOptions): Element {
  const { stack, measure, grain, width } = options
  const begin = stack.periods[0] ?? 0
  const end = nextPeriod(stack.periods.at(-1) ?? 0, grain)
  return bare(
    Plot.plot({
      width,
      height: HEIGHT,
      marginLeft: 56,
      marginRight: 8,
      marginBottom: 28,
      marginTop: 28,
      className: 'plot',
      x: {
        type: grain === 'hour' ? 'time' : 'utc',
        domain: [new Date(begin), new Date(end)],
        label: null,
      },
      y: { label: axisLabel(measure), nice: true, zero: true },
      color: { type: 'identity' },
      marks: [
        Plot.gridY({ stroke: 'var(--line)', strokeOpacity: 1, ticks: 5 }),
        bars(options),
        Plot.ruleY([0], { stroke: 'var(--axis)' }),
        ...axes(options),
        ...tip(options),
      ],
    }),
  )
}

function bars({ stack, width, by }: UsageChartOptions) {
  const gap = Math.min(1.5, (width / stack.periods.length) * 0.1)
  return Plot.rectY(stack.cells, {
    x1: 'from',
    x2: 'to',
    y1: 'low',
    y2: 'high',
    fill: ({ series }: StackCell) => colourOf(stack, series, by),
    stroke: 'var(--panel)',
    strokeWidth: 0.6,
    insetLeft: gap,
    insetRight: gap,
  })
}

const axes = ({ stack, measure, grain, width }: UsageChartOptions) => [
  Plot.axisX(ticksOf(stack.periods, grain, width), {
    tickFormat: (at: Date) => tickName(at, grain),
    tickSize: grain === 'hour' ? 5 : 0,
    tickPadding: grain === 'hour' ? 3 : 8,
    stroke: 'var(--axis)',
    fill: 'var(--quiet)',
    label: null,
  }),
  Plot.axisY({
    ticks: 5,
    tickSize: 0,
    tickFormat: measure.id === 'io' ? formatBytes : formatShort,
    fill: 'var(--quiet)',
    label: axisLabel(measure),
    labelArrow: 'none',
  }),
]

function tip({ stack, measure, grain }: UsageChartOptions) {
  const columns = stack.periods.map((from, index) => ({
    at: (from + nextPeriod(from, grain)) / 2,
    top: (stack.amounts[index] ?? []).reduce((sum, amount) => sum + amount, 0),
    words: columnWords(stack, index, measure, grain),
  }))
  return [
    Plot.ruleX(columns, Plot.pointerX({ x: 'at', stroke: 'var(--ink)', strokeOpacity: 0.35 })),
    Plot.tip(columns, Plot.pointerX({ x: 'at', y: 'top', title: 'words', ...TIP })),
  ]
}

/** States have colours of their own everywhere; all others are grey, whichever place they have. */
export function colourOf(stack: Stack, series: number, by: StackKey): string {
  const name = stack.series[series]?.name
  if (name === undefined) return 'var(--others)'
  return by === 'state' ? stateColour(name ?? '') : `var(--series-${series + 1})`
}

export const axisLabel = (measure: Measure): string =>
  measure.unit === '' ? measure.label : `${measure.label} (${measure.unit})`

function columnWords(stack: Stack, index: number, measure: Measure, grain: Grain): string {
  const period = stack.periods[index] ?? 0
  const amounts = stack.amounts[index] ?? []
  const total = amounts.reduce((sum, amount) => sum + amount, 0)
  const lines = stack.series
    .map(({ label }, series) => ({ label, amount: amounts[series] ?? 0 }))
    .filter(({ amount }) => amount > 0)
    .reverse() // as the bars lie on each other
    .map(({ label, amount }) => `${withUnit(measure, amount)}  ${tailOf(label, 44)}`)
  const head = `${periodName(period, grain)}: ${withUnit(measure, total)}`
  return [head, ...lines].join('\n')
}

/** Hours are marked where they begin, longer periods in their middle: there is no doubt which bar is meant. */
function ticksOf(periods: readonly number[], grain: Grain, width: number): readonly Date[] {
  const most = Math.max(2, Math.floor(width / PX_PER_TICK))
  if (grain === 'hour') {
    const step = [1, 2, 3, 6, 12, 24].find((hours) => periods.length / hours <= most) ?? 24
    return periods.map((ms) => new Date(ms)).filter((date) => date.getHours() % step === 0)
  }
  const step = Math.ceil(periods.length / most)
  return periods
    .filter((_, index) => (periods.length - 1 - index) % step === 0)
    .map((ms) => new Date((ms + nextPeriod(ms, grain)) / 2))
}

const hourTick = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' })
const localDayTick = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' })
const dayTick = new Intl.DateTimeFormat('en-GB', {
  day: 'numeric',
  month: 'short',
  timeZone: 'UTC',
})
const monthTick = new Intl.DateTimeFormat('en-GB', {
  month: 'short',
  year: '2-digit',
  timeZone: 'UTC',
})
const WEEK_HALF_MS = 3.5 * 86_400_000

function tickName(at: Date, grain: Grain): string {
  if (grain === 'hour') return at.getHours() === 0 ? localDayTick.format(at) : hourTick.format(at)
  if (grain === 'month') return monthTick.format(at)
  return dayTick.format(grain === 'week' ? at.getTime() - WEEK_HALF_MS : at)
}

/** What the bars say, in a sentence or three. */
export function chartWords({
  stack,
  measure,
  grain,
}: Omit<UsageChartOptions, 'width' | 'by'>): string {
  const totals = stack.amounts.map((amounts) => amounts.reduce((sum, one) => sum + one, 0))
  const peak = totals.reduce(
    (best, total, index) => (total > (totals[best] ?? 0) ? index : best),
    0,
  )
  const most = stack.series
    .slice(0, 3)
    .map(({ label, total }) => `${label} ${withUnit(measure, total)}`)
  return [
    `Stacked bars, one for each ${grain}: ${measure.label}, in all ${withUnit(measure, stack.total)}.`,
    `Most: ${most.join(', ')}.`,
    `Highest: ${periodName(stack.periods[peak] ?? 0, grain)} with ${withUnit(measure, totals[peak] ?? 0)}.`,
    'The table below has every number.',
  ].join(' ')
}
