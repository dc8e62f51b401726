// Usage over time: what is asked for it, its chart, its legend and its table.
import type { UsageQuery } from '../wire/report-api.js'
import { askUsage } from './ask.js'
import { type Grain, periodName, periodsOf, type Span, spanName } from './dates.js'
import { type Child, element } from './elements.js'
import { formatShare, withUnit } from './measures.js'
import { emptyNotice } from './panels.js'
import { tailOf } from './plain-text.js'
import { drawToWidth } from './plots.js'
import { MAX_SERIES, type Stack, stackOf } from './stack.js'
import { type Column, foldedTable } from './tables.js'
import { axisLabel, chartWords, colourOf, usageChart } from './usage-chart.js'
import { isPlainName, listsOf, type View } from './view.js'

export interface UsageQuestion {
  readonly view: View
  readonly span: Span
  readonly grain: Grain
  /** Time and filters. */
  readonly base: UsageQuery
}

const MAX_NAMES = 100
const MAX_ROWS = 6000
/** The aggregator takes 1024 characters; eight names of images with their digests are more. */
const MAX_LIST = 1000

export async function usagePanel(
  question: UsageQuestion,
  signal: AbortSignal,
): Promise<readonly Child[]> {
  const stack = await askStack(question, signal)
  const { view, span, grain } = question
  if (stack.total === 0)
    return [
      emptyNotice(
        `Nothing of this ended in this time: ${spanName(span, grain)}. A longer time or fewer filters may show more.`,
      ),
    ]
  const { measure } = view
  const chart = element('div', { class: 'chart' })
  drawToWidth(chart, (width) => usageChart({ stack, measure, grain, width, by: view.stack }))
  const words = chartWords({ stack, measure, grain })
  return [
    element(
      'figure',
      {},
      element('div', { role: 'img', 'aria-label': words }, chart),
      element('figcaption', {}, legendOf(stack, question)),
    ),
    foldedTable(
      {
        caption: `${measure.label} by ${grain} and ${view.stack}`,
        columns: columnsOf(stack, question),
        rows: stack.periods.map((_, index) => index),
      },
      `usage-by-${grain}-and-${view.stack}.csv`,
    ),
  ]
}

/**
 * Every name's amounts where they are few; else those of the names with the most, by their names, and the sums of all: what is
 * left is the others'. 10,000 users are then as quick as ten, and every bar is exact.
 */
async function askStack(question: UsageQuestion, signal: AbortSignal): Promise<Stack> {
  const { view, span, grain, base } = question
  const { stack: key, measure } = view
  const most = await askUsage({ ...base, by: key, top: MAX_NAMES + 1, sort: measure.sort }, signal)
  const isWhole =
    most.length <= MAX_NAMES && most.length * periodsOf(span, grain).length <= MAX_ROWS
  const top = isWhole ? most : most.filter((row) => isAskable(row[key])).slice(0, MAX_SERIES)
  const lists = isWhole
    ? [undefined]
    : listsOf(
        top.map((row) => row[key] ?? ''),
        MAX_LIST,
      )
  const [totals, ...parts] = await Promise.all([
    askUsage({ ...base, by: grain }, signal),
    ...lists.map((names) =>
      askUsage({ ...base, by: `${grain},${key}`, ...(names && { [key]: names }) }, signal),
    ),
  ])
  return stackOf({ key, measure, span, grain, top, isWhole, parts: parts.flat(), totals })
}

const isAskable = (name: string | null | undefined): boolean =>
  isPlainName(name) && name.length <= MAX_LIST

/** In the order of the stack, the name with the most first. */
function legendOf(stack: Stack, { view }: UsageQuestion): HTMLElement {
  return element(
    'ul',
    { class: 'legend' },
    ...stack.series.map(({ label, total, name }, index) => {
      const swatch = element('span', { class: 'swatch' })
      swatch.style.setProperty('background', colourOf(stack, index, view.stack))
      return element(
        'li',
        { class: name === undefined ? 'others' : undefined },
        swatch,
        element('span', { title: label }, tailOf(label, 40)),
        element('span', { class: 'of' }, withUnit(view.measure, total)),
        element('span', { class: 'of quiet' }, formatShare(total / stack.total)),
      )
    }),
  )
}

function columnsOf(stack: Stack, { view, grain }: UsageQuestion): readonly Column<number>[] {
  const { measure } = view
  const amount = (period: number, series: number) => stack.amounts[period]?.[series] ?? 0
  const total = (period: number) => (stack.amounts[period] ?? []).reduce((sum, one) => sum + one, 0)
  return [
    {
      head: grain === 'hour' ? 'Hour (local time)' : `${grain} (UTC)`,
      isHead: true,
      show: (period) => periodName(stack.periods[period] ?? 0, grain),
      file: (period) => new Date(stack.periods[period] ?? 0).toISOString(),
    },
    {
      head: `All, ${axisLabel(measure)}`,
      isNumber: true,
      show: (period) => withUnit(measure, total(period)),
      file: total,
    },
    ...stack.series.map(({ label }, series): Column<number> => ({
      head: label,
      isNumber: true,
      show: (period) => withUnit(measure, amount(period, series)),
      file: (period) => amount(period, series),
    })),
  ]
}
