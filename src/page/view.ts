// What is looked at, and how an address says it: every view can be sent to a colleague as a link.
import { dayMs, GRAINS, PRESETS, type Per, type Range } from './dates.js'
import { DEFAULT_MEASURE, type Measure, measureOf } from './measures.js'

export const NAME_FILTERS = ['user', 'account', 'image', 'node', 'cluster'] as const
export type NameFilter = (typeof NAME_FILTERS)[number]
export const FILTERS = [...NAME_FILTERS, 'state'] as const
export type Filter = (typeof FILTERS)[number]

export const STACKS = ['user', 'account', 'image', 'node', 'cluster', 'state'] as const
export type StackKey = (typeof STACKS)[number]

export interface View {
  /** A job's number: its containers are shown in place of the sums; empty: asked for, none said yet. */
  readonly job: string | undefined
  readonly range: Range
  readonly measure: Measure
  readonly stack: StackKey
  readonly per: Per
  /** As typed: names, globs, several with commas; absent: all. */
  readonly filters: Readonly<Partial<Record<Filter, string>>>
}

export const DEFAULT_VIEW: View = {
  job: undefined,
  range: { preset: '30d' },
  measure: DEFAULT_MEASURE,
  stack: 'account',
  per: 'auto',
  filters: {},
}

/** What makes no sense counts as not said: an address may come from anywhere. */
export function viewOf(search: string): View {
  const said = new URLSearchParams(search)
  const job = said.get('job')
  const filters = FILTERS.map((name) => [name, (said.get(name) ?? '').trim().slice(0, 1024)])
  return {
    job: job === null ? undefined : /^[0-9]{1,10}$/.test(job) ? job : '',
    range: rangeOf(said),
    measure: measureOf(said.get('measure')),
    stack: STACKS.find((key) => key === said.get('by')) ?? DEFAULT_VIEW.stack,
    per: GRAINS.find((grain) => grain === said.get('per')) ?? 'auto',
    filters: Object.fromEntries(filters.filter(([, text]) => text !== '')) as View['filters'],
  }
}

function rangeOf(said: URLSearchParams): Range {
  const [from, to] = [said.get('from') ?? '', said.get('to') ?? '']
  if (dayMs(from) !== undefined && dayMs(to) !== undefined) return { from, to }
  const preset = PRESETS.find((one) => one === said.get('last'))
  return preset === undefined ? DEFAULT_VIEW.range : { preset }
}

/** "?last=7d&by=image", or "?" for what everybody sees first. */
export function searchOf(view: View): string {
  const said = new URLSearchParams()
  if (view.job !== undefined) said.set('job', view.job)
  if ('from' in view.range) {
    said.set('from', view.range.from)
    said.set('to', view.range.to)
  } else if (view.range.preset !== '30d') said.set('last', view.range.preset)
  if (view.measure.id !== DEFAULT_MEASURE.id) said.set('measure', view.measure.id)
  if (view.stack !== DEFAULT_VIEW.stack) said.set('by', view.stack)
  if (view.per !== 'auto') said.set('per', view.per)
  for (const name of FILTERS) {
    const text = view.filters[name]
    if (text !== undefined) said.set(name, text)
  }
  return `?${said.toString()}`
}

/** A filter that means this name and no other: a comma would part it, * and ? would match more. */
export const isPlainName = (name: string | null | undefined): name is string =>
  typeof name === 'string' && name !== '' && !/[,*?]/.test(name) && name.trim() === name

/** Names with commas, as filters, in as few lists as hold no more than `most` characters each. */
export function listsOf(names: readonly string[], most: number): readonly string[] {
  const lists: string[] = []
  for (const name of names) {
    const longer = lists.length === 0 ? name : `${lists.at(-1) ?? ''},${name}`
    if (lists.length > 0 && longer.length <= most) lists[lists.length - 1] = longer
    else lists.push(name)
  }
  return lists
}
