// A job's containers on a time line, by Observable Plot.
import * as Plot from '@observablehq/plot'
import { momentName } from './dates.js'
import { element } from './elements.js'
import type { JobBar, JobLine, Part } from './job-bars.js'
import { formatDuration } from './measures.js'
import { tailOf } from './plain-text.js'
import { bare, stateColour, TIP } from './plots.js'

const LANE_PX = 22
const AXIS_PX = 28
const MAX_LABEL_PX = 190
const CHAR_PX = 7

const PART_NAMES: Readonly<Record<string, string>> = {
  pull: 'pull of the image',
  setup: 'set-up',
  RUNNING: 'running',
  COMPLETED: 'completed',
  FAILED: 'failed',
  CANCELLED: 'cancelled',
  TIMEOUT: 'time-out',
  OUT_OF_MEMORY: 'out of memory',
  NODE_FAIL: 'node failed',
  REFUSED: 'refused',
}

export const partName = (part: string): string => PART_NAMES[part] ?? part

/** The hours stay in sight while the lanes below them scroll. */
export function jobChart(line: JobLine, width: number): Element {
  const labels = line.lanes.map((label) => shortened(label, width))
  const longest = labels.reduce((most, label) => Math.max(most, label.length), 0)
  const room = Math.max(1000, line.toMs - line.fromMs) * 0.01
  const frame: Plot.PlotOptions = {
    width,
    marginLeft: longest * CHAR_PX + 14,
    marginRight: 12,
    marginTop: 4,
    className: 'plot',
    x: { type: 'time', domain: [new Date(line.fromMs - room), new Date(line.toMs + room)] },
  }
  const hours = Plot.plot({
    ...frame,
    height: AXIS_PX,
    marginTop: AXIS_PX - 4,
    marginBottom: 0,
    marks: [
      Plot.axisX({
        anchor: 'top',
        ticks: ticks(width),
        tickSize: 0,
        fill: 'var(--quiet)',
        label: null,
        tickFormat: tickFormat(line),
      }),
    ],
  })
  const lanes = Plot.plot({
    ...frame,
    height: line.lanes.length * LANE_PX + 20,
    marginBottom: 12,
    y: { type: 'band', domain: labels.map((_, lane) => lane), padding: 0.25 },
    color: { type: 'identity' },
    marks: [
      Plot.gridX({ stroke: 'var(--line)', strokeOpacity: 1, ticks: ticks(width) }),
      Plot.axisX({ ticks: [], label: null }),
      Plot.axisY({
        tickFormat: (lane: number) => labels[lane] ?? '',
        tickSize: 0,
        fill: 'var(--ink)',
        label: null,
      }),
      ...bars(line),
      tip(line),
    ],
  })
  return element('div', {}, element('div', { class: 'hours' }, bare(hours)), bare(lanes))
}

/** What comes before a run is thinner than the run. */
const bars = ({ bars, moments }: JobLine) => [
  Plot.barX(
    bars.filter(({ part }) => !isRun(part)),
    { ...BAR, insetTop: 4, insetBottom: 4 },
  ),
  Plot.barX(
    bars.filter(({ part }) => isRun(part)),
    BAR,
  ),
  Plot.dot(moments, {
    x: 'from',
    y: 'lane',
    r: 5,
    symbol: 'times',
    strokeWidth: 2.5,
    stroke: (bar: JobBar) => stateColour(bar.part),
  }),
]

const tip = ({ bars, moments }: JobLine) =>
  Plot.tip(
    [...bars, ...moments],
    Plot.pointer({
      x: (bar: JobBar) => (bar.from + bar.to) / 2,
      y: 'lane',
      title: barWords,
      ...TIP,
      maxRadius: Infinity,
    }),
  )

const BAR = { x1: 'from', x2: 'to', y: 'lane', fill: (bar: JobBar) => stateColour(bar.part) }
const isRun = (part: Part): boolean => part !== 'pull' && part !== 'setup'
const ticks = (width: number): number => Math.max(2, Math.floor(width / 140))

function barWords({ record, part, from, to }: JobBar): string {
  const what = to > from ? `${partName(part)}, ${formatDuration(to - from)}` : partName(part)
  const why = record.reason === null ? [] : [record.reason]
  return [
    what,
    `${momentName(from)}${to > from ? ` to ${momentName(to)}` : ''}`,
    tailOf(record.image, 48),
    ...why,
  ].join('\n')
}

function shortened(label: string, width: number): string {
  const most = Math.floor(Math.min(MAX_LABEL_PX, width * 0.34) / CHAR_PX)
  return tailOf(label, most)
}

const daysTick = new Intl.DateTimeFormat('en-GB', {
  day: 'numeric',
  month: 'short',
  hour: '2-digit',
  minute: '2-digit',
})
const minutesTick = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' })
const secondsTick = new Intl.DateTimeFormat('en-GB', {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
})
const momentsTick = new Intl.DateTimeFormat('en-GB', {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  fractionalSecondDigits: 1,
})
const MANY_HOURS_MS = 20 * 3_600_000
const FEW_MINUTES_MS = 10 * 60_000
const FEW_SECONDS_MS = 15_000

function tickFormat({ fromMs, toMs }: JobLine): (at: Date) => string {
  const length = toMs - fromMs
  const formats: readonly (readonly [number, Intl.DateTimeFormat])[] = [
    [MANY_HOURS_MS, daysTick],
    [FEW_MINUTES_MS, minutesTick],
    [FEW_SECONDS_MS, secondsTick],
  ]
  const format = formats.find(([least]) => length > least)?.[1] ?? momentsTick
  return (at) => format.format(at)
}

/** What the time line says, in words. */
export function jobWords(line: JobLine, containers: number): string {
  const runs = line.bars.filter(({ part }) => isRun(part))
  const longest = runs.reduce<JobBar | undefined>(
    (best, bar) => (best === undefined || bar.to - bar.from > best.to - best.from ? bar : best),
    undefined,
  )
  const span = `from ${momentName(line.fromMs)} to ${momentName(line.toMs)}`
  const most =
    longest === undefined ? '' : ` The longest ran ${formatDuration(longest.to - longest.from)}.`
  return `Time line of ${containers} containers in ${line.lanes.length} tasks, ${span}.${most} The table below has all of it.`
}
