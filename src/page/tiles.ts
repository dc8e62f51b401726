// A few numbers, large: what a span or a job comes to.
import type { UsageSums } from '../wire/report-api.js'
import { element } from './elements.js'
import {
  efficiencyOf,
  formatAmount,
  formatBytes,
  formatCount,
  formatShare,
  type Measure,
  MEASURES,
} from './measures.js'

export interface Tile {
  readonly name: string
  readonly value: string
  readonly unit?: string
  readonly note?: string
}

export const tilesOf = (tiles: readonly Tile[]): HTMLElement =>
  element(
    'dl',
    { class: 'tiles' },
    ...tiles.map(({ name, value, unit, note }) =>
      element(
        'div',
        { class: 'tile' },
        element('dt', {}, name),
        element(
          'dd',
          {},
          element('span', { class: 'value' }, value),
          unit === undefined ? undefined : element('span', { class: 'unit' }, ` ${unit}`),
        ),
        note === undefined ? undefined : element('dd', { class: 'note' }, note),
      ),
    ),
  )

export function usageTiles(sums: UsageSums): readonly Tile[] {
  const efficiency = efficiencyOf(sums)
  const of = (id: Measure['id']) => MEASURES.find((one) => one.id === id)?.of(sums) ?? 0
  const ran = sums.runs - sums.refused
  return [
    {
      name: 'Containers',
      value: formatCount(sums.runs),
      note: sums.refused === 0 ? 'none refused' : `${formatCount(sums.refused)} refused`,
    },
    {
      name: 'CPU time used',
      value: formatAmount(of('cpu')),
      unit: 'h',
      note: `of ${formatAmount(of('allocated'))} h allocated`,
    },
    {
      name: 'CPU efficiency',
      value: efficiency === undefined ? '–' : formatShare(efficiency),
      note: 'used ÷ allocated',
    },
    {
      name: 'Memory × time',
      value: formatAmount(of('memory')),
      unit: 'GiB·h',
      note: 'by its peak',
    },
    {
      name: 'I/O',
      ...split(formatBytes(of('io'))),
      note: `${formatBytes(sums.io_write_bytes)} written`,
    },
    {
      name: 'Failures',
      value: formatCount(sums.failed),
      note: ran > 0 ? `${formatShare(sums.failed / ran)} of what ran` : 'none ran',
    },
  ]
}

/** "3.1 TB" → number and unit. */
function split(text: string): { value: string; unit: string } {
  const [value = text, unit = ''] = text.split(' ')
  return { value, unit }
}
