// The form above the figures: which time, whose, what. It says what it wants by `onChange`, and shows what it is told.
import { dayText, type Preset, PRESETS, type Range, spanOf } from './dates.js'
import { element } from './elements.js'
import { type Filter, FILTERS, NAME_FILTERS, type View } from './view.js'

export interface FilterForm {
  readonly element: HTMLElement
  set(view: View): void
  /** What the fields may be completed to. */
  suggest(filter: Filter, names: readonly string[]): void
}

export interface FilterOptions {
  readonly without: readonly Filter[]
  readonly nowMs: () => number
  readonly onChange: (change: Partial<View>) => void
}

const PRESET_NAMES: Readonly<Record<Preset, string>> = {
  '24h': '24 h',
  '7d': '7 days',
  '30d': '30 days',
  '12mo': '12 months',
}
/** No RUNNING: sums are of what has ended. */
const STATES = [
  'COMPLETED',
  'FAILED',
  'CANCELLED',
  'TIMEOUT',
  'OUT_OF_MEMORY',
  'NODE_FAIL',
  'REFUSED',
]

export function filterForm({ without, nowMs, onChange }: FilterOptions): FilterForm {
  const times = timeFields(nowMs, (range) => onChange({ range }))
  const names = NAME_FILTERS.filter((filter) => !without.includes(filter)).map(nameField)
  const state = stateField()
  const clear = element('button', { type: 'button', class: 'quiet' }, 'Clear filters')
  const fold = foldedWhereNarrow(
    element(
      'div',
      { class: 'fields' },
      ...names.map((field) => field.element),
      state.element,
      element('button', { type: 'submit' }, 'Show'),
      clear,
    ),
    globHint(),
  )
  const form = element(
    'form',
    { class: 'filters', role: 'search', 'aria-label': 'What is shown' },
    times.element,
    fold,
  )
  const inputs = new Map<Filter, HTMLInputElement | HTMLSelectElement>([
    ...names.map(({ filter, input }) => [filter, input] as const),
    ['state', state.input],
  ])
  const said = (): View['filters'] =>
    Object.fromEntries(
      [...inputs]
        .map(([filter, input]) => [filter, input.value.trim()] as const)
        .filter(([, text]) => text !== ''),
    )
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    onChange({ filters: said() })
  })
  for (const input of inputs.values())
    input.addEventListener('change', () => onChange({ filters: said() }))
  clear.addEventListener('click', () => onChange({ filters: {} }))
  return {
    element: form,
    set(view) {
      times.set(view.range)
      for (const filter of FILTERS) {
        const input = inputs.get(filter)
        if (input !== undefined && input.value !== (view.filters[filter] ?? ''))
          input.value = view.filters[filter] ?? ''
      }
      clear.hidden = Object.keys(view.filters).length === 0
      if (!clear.hidden) fold.open = true
    },
    suggest(filter, found) {
      const list = names.find((field) => field.filter === filter)?.list
      list?.replaceChildren(...found.map((name) => element('option', { value: name })))
    },
  }
}

/** On a telephone the figures come first, and filters when they are wanted or at work. */
function foldedWhereNarrow(...children: readonly HTMLElement[]): HTMLDetailsElement {
  const isWide = matchMedia('(min-width: 641px)')
  const fold = element('details', { class: 'more' }, element('summary', {}, 'Filters'), ...children)
  fold.open = isWide.matches
  isWide.addEventListener('change', () => (fold.open ||= isWide.matches))
  return fold
}

const globHint = (): HTMLElement =>
  element(
    'p',
    { class: 'hint', id: 'glob-hint' },
    '* and ? stand for any text and any character; several with commas.',
  )

interface NameField {
  readonly filter: Filter
  readonly element: HTMLElement
  readonly input: HTMLInputElement
  readonly list: HTMLElement
}

function nameField(filter: Filter): NameField {
  const list = element('datalist', { id: `names-${filter}` })
  const input = element('input', {
    type: 'text',
    name: filter,
    list: list.id,
    placeholder: 'all',
    autocomplete: 'off',
    autocapitalize: 'none',
    spellcheck: 'false',
    maxlength: 1024,
    'aria-describedby': 'glob-hint',
  })
  return { filter, input, list, element: element('label', {}, capital(filter), input, list) }
}

function stateField(): { element: HTMLElement; input: HTMLSelectElement } {
  const input = element(
    'select',
    { name: 'state' },
    element('option', { value: '' }, 'all'),
    ...STATES.map((state) => element('option', { value: state }, state)),
  )
  return { input, element: element('label', {}, 'State', input) }
}

interface TimeFields {
  readonly element: HTMLElement
  set(range: Range): void
}

function timeFields(nowMs: () => number, onChange: (range: Range) => void): TimeFields {
  const radios = [...PRESETS, 'own'].map((value) =>
    element('input', { type: 'radio', name: 'last', value, id: `last-${value}` }),
  )
  const from = element('input', { type: 'date', name: 'from' })
  const to = element('input', { type: 'date', name: 'to' })
  const dates = element(
    'div',
    { class: 'dates', hidden: true },
    element('label', {}, 'From', from),
    element('label', {}, 'to', to),
  )
  const set = (range: Range) => {
    const value = 'from' in range ? 'own' : range.preset
    for (const radio of radios) radio.checked = radio.value === value
    dates.hidden = value !== 'own'
    // The dates of a preset are where own ones begin.
    const span = spanOf(range, nowMs())
    from.value = dayText(span.sinceMs)
    to.value = dayText(span.untilMs - 1)
  }
  for (const radio of radios)
    radio.addEventListener('change', () => {
      const preset = PRESETS.find((one) => one === radio.value)
      onChange(preset === undefined ? { from: from.value, to: to.value } : { preset })
    })
  for (const date of [from, to])
    date.addEventListener('change', () => {
      // Half of a date that is being typed is no date yet.
      if (from.value !== '' && to.value !== '') onChange({ from: from.value, to: to.value })
    })
  const choices = radios.map((radio) =>
    element(
      'label',
      { class: 'choice' },
      radio,
      element(
        'span',
        {},
        PRESETS.includes(radio.value as Preset) ? PRESET_NAMES[radio.value as Preset] : 'own dates',
      ),
    ),
  )
  const field = element(
    'fieldset',
    { class: 'times' },
    element('legend', {}, 'Time'),
    element('div', { class: 'choices' }, ...choices),
    dates,
  )
  return { element: field, set }
}

const capital = (word: string): string => word.charAt(0).toUpperCase() + word.slice(1)
