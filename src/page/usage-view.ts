// Everybody's usage, or one's own: filters, sums, usage over time, states, and who and what has the most.
import type { UsageQuery, UsageRow, UsageSums } from '../wire/report-api.js'
import { askUsage, type Viewer } from './ask.js'
import { csvOf } from './csv.js'
import { GRAINS, grainOf, spanName, spanOf, zoneName } from './dates.js'
import { type Child, element } from './elements.js'
import { filterForm } from './filters.js'
import { formatCount, type Measure, MEASURES, measureOf, withUnit } from './measures.js'
import { emptyNotice, openPanel } from './panels.js'
import { stateColour } from './plots.js'
import { NOTHING } from './stack.js'
import { fileButtonOf, tableOf } from './tables.js'
import { tilesOf, usageTiles } from './tiles.js'
import { topColumns } from './top-list.js'
import { TOP, topRows } from './top-rows.js'
import { usagePanel, type UsageQuestion } from './usage-panel.js'
import { isPlainName, type NameFilter, searchOf, type StackKey, STACKS, type View } from './view.js'

export interface ViewContext {
  readonly viewer: Viewer
  readonly nowMs: () => number
  /** To another view: the address says it, and back comes back. */
  readonly go: (view: View) => void
  readonly say: (words: string) => void
  /** Asks for the present view again. */
  readonly again: () => void
}

export interface OpenView {
  readonly element: HTMLElement
  show(view: View): Promise<void>
}

interface TopPanel {
  readonly key: StackKey & NameFilter
  readonly title: string
  readonly plural: string
}

const TOP_PANELS: readonly TopPanel[] = [
  { key: 'user', title: 'User', plural: 'Users' },
  { key: 'account', title: 'Account', plural: 'Accounts' },
  { key: 'image', title: 'Image', plural: 'Images' },
  { key: 'node', title: 'Node', plural: 'Nodes' },
]
const MAX_FILE_ROWS = 100_000

export function openUsageView({ viewer, nowMs, go, say, again }: ViewContext): OpenView {
  const state: { view: View | undefined } = { view: undefined }
  const change = (changed: Partial<View>) => {
    if (state.view !== undefined) go({ ...state.view, ...changed })
  }
  const form = filterForm({ without: viewer.operator ? [] : ['user'], nowMs, onChange: change })
  const controls = chartControls(viewer, change)
  const sums = openPanel('In all', again, 'sums')
  const time = openPanel('Usage over time', again, 'wide')
  time.tools.append(...controls.elements)
  const { tops, states } = topPanels(viewer, again)
  const grid = element(
    'div',
    { class: 'grid' },
    ...tops.map(({ panel }) => panel.element),
    states.element,
  )
  const title = element('h1', {}, 'Usage')
  const subtitle = element('p', { class: 'subtitle' })

  async function show(view: View): Promise<void> {
    state.view = view
    form.set(view)
    controls.set(view)
    const question = questionOf(view, nowMs())
    const { base, span, grain } = question
    subtitle.textContent = `${spanName(span, grain)} (${grain === 'hour' ? zoneName(nowMs()) : 'UTC days'})`
    say('Loading …')
    const all = new AbortController()
    const total = askUsage(base, all.signal).then((rows): UsageSums => rows[0] ?? NOTHING)
    // Where the sums fail, all fails, and is said once; where there is nothing, too.
    total.then(
      ({ runs }) => {
        time.element.hidden = false
        grid.hidden = runs === 0
      },
      () => (time.element.hidden = grid.hidden = true),
    )
    await Promise.all([
      sums.show(async () => [tilesOf(usageTiles(await total))]),
      time.show((signal) => usagePanel(question, signal)),
      states.show((signal) => statesPanel(question, total, signal)),
      ...tops.map(({ panel, ...top }) =>
        panel.show((signal) =>
          topPanel(top, question, total, signal, (names) => form.suggest(top.key, names)),
        ),
      ),
    ])
    const { runs } = await total.catch(() => NOTHING)
    if (state.view === view) say(`${formatCount(runs)} containers, ${subtitle.textContent}.`)
  }

  const content = element(
    'div',
    {},
    element('div', { class: 'title' }, title, subtitle),
    form.element,
    sums.element,
    time.element,
    grid,
  )
  return { element: content, show }
}

/** Two in a row; images have one to themselves, because their names are long. */
function topPanels(viewer: Viewer, again: () => void) {
  const order = viewer.operator
    ? ['user', 'account', 'image', 'node']
    : ['account', 'node', 'image']
  const tops = TOP_PANELS.filter(({ key }) => order.includes(key))
    .sort((a, b) => order.indexOf(a.key) - order.indexOf(b.key))
    .map((top) => ({
      ...top,
      panel: openPanel(top.plural, again, top.key === 'image' ? 'row' : ''),
    }))
  return { tops, states: openPanel('How they ended', again, viewer.operator ? '' : 'row') }
}

function questionOf(view: View, nowMs: number): UsageQuestion {
  const span = spanOf(view.range, nowMs)
  const base: UsageQuery = {
    ...view.filters,
    since: new Date(span.sinceMs).toISOString(),
    until: new Date(span.untilMs).toISOString(),
  }
  return { view, span, grain: grainOf(span, view.per), base }
}

interface ChartControls {
  readonly elements: readonly HTMLElement[]
  set(view: View): void
}

function chartControls(viewer: Viewer, change: (changed: Partial<View>) => void): ChartControls {
  const measure = choice(
    'Measure',
    MEASURES.map(({ id, label }) => [id, label]),
  )
  const by = choice(
    'Split by',
    STACKS.filter((key) => viewer.operator || key !== 'user').map((key) => [key, key]),
  )
  const per = choice(
    'Per',
    ['auto', ...GRAINS].map((grain) => [grain, grain]),
  )
  measure.select.addEventListener('change', () =>
    change({ measure: measureOf(measure.select.value) }),
  )
  by.select.addEventListener('change', () => {
    const stack = STACKS.find((key) => key === by.select.value)
    if (stack !== undefined) change({ stack })
  })
  per.select.addEventListener('change', () =>
    change({ per: GRAINS.find((grain) => grain === per.select.value) ?? 'auto' }),
  )
  return {
    elements: [measure.label, by.label, per.label],
    set(view) {
      measure.select.value = view.measure.id
      by.select.value = view.stack
      per.select.value = view.per
    },
  }
}

function choice(name: string, options: readonly (readonly [string, string])[]) {
  const select = element(
    'select',
    {},
    ...options.map(([value, text]) => element('option', { value }, text)),
  )
  return { select, label: element('label', {}, name, select) }
}

async function topPanel(
  { key, title, plural }: TopPanel,
  { view, base }: UsageQuestion,
  total: Promise<UsageSums>,
  signal: AbortSignal,
  suggest: (names: readonly string[]) => void,
): Promise<readonly Child[]> {
  const { measure } = view
  const [rows, all] = await Promise.all([
    askUsage({ ...base, by: key, top: TOP + 1, sort: measure.sort }, signal),
    total,
  ])
  suggest(rows.map((row) => row[key]).filter(isPlainName))
  const listed = topRows(rows, key, measure, all)
  if (listed.length === 0) return [emptyNotice('None in this time.')]
  const caption = `${plural} with the most: ${measure.label}`
  const columns = topColumns(title, key, measure, (name) =>
    searchOf({ ...view, filters: { ...view.filters, [key]: name } }),
  )
  const whole = async () => {
    const every = await askUsage(
      { ...base, by: key, top: MAX_FILE_ROWS, sort: measure.sort },
      signal,
    )
    return fileOf(every, key)
  }
  return [
    tableOf({ caption, columns, rows: listed }),
    element(
      'div',
      { class: 'beside' },
      fileButtonOf(`all ${plural.toLowerCase()}`, `${key}s.csv`, whole),
    ),
  ]
}

/** All names and all sums, exact: the units are those of the aggregator. */
function fileOf(rows: readonly UsageRow[], key: StackKey): string {
  const sums = Object.keys(NOTHING) as (keyof UsageSums)[] // its keys are these
  return csvOf(
    [key, ...sums],
    rows.map((row) => [row[key] ?? null, ...sums.map((name) => row[name])]),
  )
}

async function statesPanel(
  { view, base }: UsageQuestion,
  total: Promise<UsageSums>,
  signal: AbortSignal,
): Promise<readonly Child[]> {
  const [rows, all] = await Promise.all([
    askUsage({ ...base, by: 'state', top: 20, sort: 'runs' }, signal),
    total,
  ])
  if (rows.length === 0) return [emptyNotice('Nothing ended in this time.')]
  const runs: Measure = measureOf('runs')
  const link = (name: string) => searchOf({ ...view, filters: { ...view.filters, state: name } })
  const [name, ...numbers] = topColumns('State', 'state', runs, link).slice(0, 3)
  const columns = [
    ...(name === undefined ? [] : [{ ...name, show: stateCell(name.show) }]),
    ...numbers,
    {
      head: 'CPU time (h)',
      isNumber: true,
      show: ({ sums }: { sums: UsageSums }) =>
        withUnit(measureOf('cpu'), measureOf('cpu').of(sums)),
      file: ({ sums }: { sums: UsageSums }) => measureOf('cpu').of(sums),
    },
  ]
  return [
    tableOf({ caption: 'How containers ended', columns, rows: topRows(rows, 'state', runs, all) }),
  ]
}

type Show = ReturnType<typeof topColumns>[number]['show']

/** A swatch in the state's colour before its name. */
function stateCell(show: Show): Show {
  return (row) => {
    const swatch = element('span', { class: 'swatch' })
    swatch.style.setProperty('background', stateColour(row.name ?? ''))
    return element('span', { class: 'state' }, swatch, show(row) ?? '')
  }
}
