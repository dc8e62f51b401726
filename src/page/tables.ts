// Plain tables: what every chart also is, for screen readers, for copying, and as a file.
import { type Cell, csvOf } from './csv.js'
import { type Child, element, offerFile } from './elements.js'

export interface Column<Row> {
  readonly head: string
  readonly isNumber?: boolean
  /** Its cells name their rows. */
  readonly isHead?: boolean
  readonly show: (row: Row) => Child
  /** In the file: whole numbers and full names, whatever is shown. */
  readonly file: (row: Row) => Cell
}

export interface TableOptions<Row> {
  readonly caption: string
  readonly columns: readonly Column<Row>[]
  readonly rows: readonly Row[]
}

export function tableOf<Row>({ caption, columns, rows }: TableOptions<Row>): HTMLElement {
  const head = element(
    'tr',
    {},
    ...columns.map(({ head, isNumber }) =>
      element('th', { scope: 'col', class: isNumber && 'number' }, head),
    ),
  )
  const body = rows.map((row) =>
    element(
      'tr',
      {},
      ...columns.map((column) =>
        column.isHead
          ? element('th', { scope: 'row' }, column.show(row))
          : element('td', { class: column.isNumber && 'number' }, column.show(row)),
      ),
    ),
  )
  const table = element(
    'table',
    {},
    element('caption', { class: 'unseen' }, caption),
    element('thead', {}, head),
    element('tbody', {}, ...body),
  )
  return scrolling(table, caption)
}

/** What is too wide scrolls sideways, by keyboard too: that takes a focus, and a name for who comes to it. */
export function scrolling(child: HTMLElement, name: string): HTMLElement {
  const host = element('div', { class: 'scroll' }, child)
  new ResizeObserver(() => {
    const isWide = host.scrollWidth > host.clientWidth || host.scrollHeight > host.clientHeight
    const set = isWide ? host.setAttribute.bind(host) : host.removeAttribute.bind(host)
    set('tabindex', '0')
    set('role', 'group')
    set('aria-label', name)
  }).observe(host)
  return host
}

/** Opened by who wants numbers in place of bars. */
export function foldedTable<Row>(options: TableOptions<Row>, fileName: string): HTMLElement {
  const fold = element('details', { class: 'fold' }, element('summary', {}, 'Table'))
  fold.addEventListener('toggle', () => {
    if (fold.open && fold.childElementCount === 1) fold.append(tableOf(options))
  })
  return element('div', { class: 'beside' }, fold, fileButton(options, fileName))
}

export function fileButton<Row>(options: TableOptions<Row>, fileName: string): HTMLElement {
  const { caption, columns, rows } = options
  return fileButtonOf(caption, fileName, async () =>
    csvOf(
      columns.map(({ head }) => head),
      rows.map((row) => columns.map(({ file }) => file(row))),
    ),
  )
}

/** `text` is asked for when the file is wanted. */
export function fileButtonOf(
  caption: string,
  fileName: string,
  text: () => Promise<string>,
): HTMLElement {
  const button = element(
    'button',
    { type: 'button', class: 'quiet', 'aria-label': `CSV file: ${caption}` },
    'CSV',
  )
  button.addEventListener('click', () => {
    button.disabled = true
    text()
      .then((csv) => offerFile(fileName, csv))
      .catch((error: unknown) => button.after(element('span', { role: 'alert' }, String(error))))
      .finally(() => (button.disabled = false))
  })
  return button
}
