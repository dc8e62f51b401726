// One job's containers: on a time line, in a few numbers, and in a table.
import type { UsageRecord } from '../wire/usage-api.js'
import { askJob } from './ask.js'
import { momentName, zoneName } from './dates.js'
import { type Child, element } from './elements.js'
import { jobChart, jobWords, partName } from './job-chart.js'
import { jobLine, type JobLine, laneOf } from './job-bars.js'
import { formatBytes, formatCount, formatDuration, formatMemory } from './measures.js'
import { emptyNotice, openPanel } from './panels.js'
import { plainText, tailOf } from './plain-text.js'
import { drawToWidth, stateColour } from './plots.js'
import { type Column, fileButton, scrolling, tableOf } from './tables.js'
import { type Tile, tilesOf } from './tiles.js'
import type { OpenView, ViewContext } from './usage-view.js'
import type { View } from './view.js'

/** More lanes than that nobody reads; the table and the file have the same ones. */
const MAX_RECORDS = 2000

export function openJobView({ nowMs, go, say, again, viewer }: ViewContext): OpenView {
  const state: { view: View | undefined } = { view: undefined }
  const input = element('input', {
    type: 'text',
    inputmode: 'numeric',
    pattern: '[0-9]{1,10}',
    title: 'a number, as squeue and sacct show it',
    required: true,
    name: 'job',
    size: 12,
    autocomplete: 'off',
  })
  const form = element(
    'form',
    { class: 'filters job', role: 'search', 'aria-label': 'Which job' },
    element('label', {}, 'Job number', input),
    element('button', { type: 'submit' }, 'Show'),
  )
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    if (state.view !== undefined) go({ ...state.view, job: input.value.trim() })
  })
  const title = element('h1', {}, 'A job')
  const panel = openPanel('Containers', again, 'wide')
  panel.element.hidden = true

  async function show(view: View): Promise<void> {
    state.view = view
    const job = view.job ?? ''
    input.value = job
    title.textContent = job === '' ? 'A job' : `Job ${job}`
    panel.element.hidden = job === ''
    if (job === '') {
      say('Type the number of a job.')
      return
    }
    say('Loading …')
    await panel.show(async (signal) => {
      const { records, hasMore } = await askJob(job, MAX_RECORDS, signal)
      say(`${formatCount(records.length)} containers of job ${job}.`)
      if (records.length === 0)
        return [
          emptyNotice(
            viewer.operator
              ? `No container of job ${job} is known here.`
              : `No container of yours is known here for job ${job}.`,
          ),
        ]
      return jobPanel(job, records, hasMore, nowMs())
    })
  }

  const content = element('div', {}, element('div', { class: 'title' }, title), form, panel.element)
  return { element: content, show }
}

function jobPanel(
  job: string,
  records: readonly UsageRecord[],
  hasMore: boolean,
  nowMs: number,
): readonly Child[] {
  const line = jobLine(records, nowMs)
  const chart = element('div', { class: 'chart' })
  drawToWidth(chart, (width) => jobChart(line, width))
  const picture = element(
    'div',
    { role: 'img', 'aria-label': jobWords(line, records.length) },
    chart,
  )
  const lanes = scrolling(picture, 'Time line')
  lanes.classList.add('lanes')
  const table = { caption: `Containers of job ${job}`, columns: COLUMNS, rows: line.records }
  return [
    tilesOf(jobTiles(records, line)),
    hasMore
      ? element(
          'p',
          { class: 'hint' },
          `The first ${formatCount(MAX_RECORDS)} containers; hepwrap acct --job ${job} lists all.`,
        )
      : undefined,
    element(
      'figure',
      {},
      lanes,
      element('figcaption', {}, partsLegend(line), `Times in ${zoneName(nowMs)}.`),
    ),
    tableOf(table),
    element('div', { class: 'beside' }, fileButton(table, `job-${job}.csv`)),
  ]
}

function partsLegend(line: JobLine): HTMLElement {
  const parts = new Set([...line.bars, ...line.moments].map(({ part }) => part))
  return element(
    'ul',
    { class: 'legend' },
    ...[...parts].map((part) => {
      const swatch = element('span', { class: 'swatch' })
      swatch.style.setProperty('background', stateColour(part))
      return element('li', {}, swatch, element('span', {}, partName(part)))
    }),
  )
}

function jobTiles(records: readonly UsageRecord[], line: JobLine): readonly Tile[] {
  const cpuUsec = records.reduce((sum, record) => sum + (cpuOf(record) ?? 0), 0)
  const peak = records.reduce((most, one) => Math.max(most, one.memory_peak_bytes ?? 0), 0)
  const bad = records.filter(({ state }) => !['RUNNING', 'COMPLETED', 'CANCELLED'].includes(state))
  const nodes = new Set(records.map(({ cluster, node }) => `${cluster} ${node}`))
  return [
    {
      name: 'Containers',
      value: formatCount(records.length),
      note: `on ${formatCount(nodes.size)} ${nodes.size === 1 ? 'node' : 'nodes'}`,
    },
    { name: 'From first to last', value: formatDuration(line.toMs - line.fromMs) },
    { name: 'CPU time used', value: formatDuration(cpuUsec / 1000) },
    { name: 'Highest memory', value: formatMemory(peak), note: 'of one container' },
    { name: 'Failed or refused', value: formatCount(bad.length) },
  ]
}

const cpuOf = ({ cpu_user_usec, cpu_system_usec }: UsageRecord): number | null =>
  cpu_user_usec === null && cpu_system_usec === null
    ? null
    : (cpu_user_usec ?? 0) + (cpu_system_usec ?? 0)

function elapsedMs({ started_at, ended_at }: UsageRecord): number | null {
  return started_at === null || ended_at === null
    ? null
    : Date.parse(ended_at) - Date.parse(started_at)
}

type Field = (record: UsageRecord) => number | null

const number = (
  head: string,
  of: Field,
  format: (amount: number) => string,
): Column<UsageRecord> => ({
  head,
  isNumber: true,
  show: (record) => {
    const amount = of(record)
    return amount === null ? '–' : format(amount)
  },
  file: of,
})

const moment = (text: string | null): string => (text === null ? '–' : momentName(Date.parse(text)))

const COLUMNS: readonly Column<UsageRecord>[] = [
  { head: 'Task', isHead: true, show: laneOf, file: laneOf },
  {
    head: 'State',
    show: (record) => {
      const swatch = element('span', { class: 'swatch' })
      swatch.style.setProperty('background', stateColour(record.state))
      return element('span', { class: 'state' }, swatch, record.state)
    },
    file: ({ state }) => state,
  },
  { head: 'Reason', show: ({ reason }) => plainText(reason ?? '–'), file: ({ reason }) => reason },
  number('Exit', ({ exit_code }) => exit_code, String),
  {
    head: 'Created',
    show: ({ created_at }) => moment(created_at),
    file: ({ created_at }) => created_at,
  },
  number('Pull', ({ pull_ms }) => pull_ms, formatDuration),
  number('Set-up', ({ setup_ms }) => setup_ms, formatDuration),
  number('Ran', elapsedMs, formatDuration),
  number('CPU time', cpuOf, (usec) => formatDuration(usec / 1000)),
  number('Memory peak', ({ memory_peak_bytes }) => memory_peak_bytes, formatMemory),
  number('Read', ({ io_read_bytes }) => io_read_bytes, formatBytes),
  number('Written', ({ io_write_bytes }) => io_write_bytes, formatBytes),
  {
    head: 'Image',
    show: ({ image }) => element('span', { title: image }, tailOf(image, 44)),
    file: ({ image }) => image,
  },
  {
    head: 'User',
    show: ({ user, uid }) => plainText(user ?? String(uid)),
    file: ({ user }) => user,
  },
]
