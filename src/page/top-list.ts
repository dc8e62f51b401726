// A top list's columns: a table whose bars are in its cells.
import type { Child } from './elements.js'
import { element } from './elements.js'
import { efficiencyOf, formatCount, formatShare, type Measure, withUnit } from './measures.js'
import { axisLabel } from './usage-chart.js'
import type { Column } from './tables.js'
import type { TopRow } from './top-rows.js'
import { isPlainName, type StackKey } from './view.js'

export function topColumns(
  title: string,
  key: StackKey,
  measure: Measure,
  linkOf: (name: string) => string,
): readonly Column<TopRow>[] {
  const numbers: Column<TopRow>[] = [
    {
      head: axisLabel(measure),
      isNumber: true,
      show: ({ sums, width, name }) =>
        name === undefined
          ? withUnit(measure, measure.of(sums))
          : barCell(withUnit(measure, measure.of(sums)), width),
      file: ({ sums }) => measure.of(sums),
    },
    {
      head: 'Share',
      isNumber: true,
      show: ({ share }) => formatShare(share),
      file: ({ share }) => share,
    },
  ]
  if (measure.id !== 'runs')
    numbers.push({
      head: 'Containers',
      isNumber: true,
      show: ({ sums }) => formatCount(sums.runs),
      file: ({ sums }) => sums.runs,
    })
  return [
    {
      head: title,
      isHead: true,
      show: ({ label, name }) => nameCell(label, name, key, linkOf),
      file: ({ label, name }) => name ?? label,
    },
    ...numbers,
    {
      head: 'Failed',
      isNumber: true,
      show: ({ sums }) => (sums.runs > 0 ? formatShare(sums.failed / sums.runs) : '–'),
      file: ({ sums }) => sums.failed,
    },
    {
      head: 'Efficiency',
      isNumber: true,
      show: ({ sums }) => formatOptional(efficiencyOf(sums)),
      file: ({ sums }) => efficiencyOf(sums) ?? null,
    },
  ]
}

const formatOptional = (share: number | undefined): string =>
  share === undefined ? '–' : formatShare(share)

/** A click shows that name alone. */
function nameCell(
  label: string,
  name: string | null | undefined,
  key: StackKey,
  linkOf: (name: string) => string,
): Child {
  if (!isPlainName(name)) return element('span', { class: 'quiet' }, label)
  return element('a', { href: linkOf(name), class: 'name', title: `only ${key} ${label}` }, label)
}

function barCell(text: string, width: number): Child {
  const bar = element('span', { class: 'bar' })
  bar.style.setProperty('--share', `${width * 100}%`)
  return element('span', { class: 'amount' }, bar, element('span', {}, text))
}
