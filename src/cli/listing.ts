// How a listing is printed: --format, -P, --csv, --json, -n, -e, and the printing itself, piece by piece.
import {
  layOut,
  listFields,
  parseFieldList,
  type Field,
  type Layout,
  type LayoutName,
} from './fields.js'
import { invalid } from './option-values.js'
import { HepwrapError } from '../base/errors.js'
import type { OptionSpec } from './options.js'
import { print } from './print.js'
import type { VerbLine } from './verb-line.js'

export const LISTING_OPTIONS: readonly OptionSpec[] = [
  { name: 'format', short: 'f', takesValue: true },
  { name: 'format', short: 'o', takesValue: true },
  { name: 'parsable2', short: 'P', takesValue: false },
  { name: 'csv', takesValue: false },
  { name: 'json', takesValue: false },
  { name: 'noheader', short: 'n', takesValue: false },
  { name: 'helpformat', short: 'e', takesValue: false },
]

export interface ListingFields<Row> {
  /** Those that --format may name. */
  readonly known: readonly Field<Row>[]
  readonly table: readonly Field<Row>[]
  /** Of json, csv and `--format parsable`, where no list is given. */
  readonly whole: readonly Field<Row>[]
}

const LAYOUTS = ['table', 'json', 'csv', 'parsable'] as const satisfies readonly LayoutName[]

/** --format is a layout by its name, or a list of fields; -P, --csv and --json are layouts besides. */
export function planListing<Row>(line: VerbLine, fields: ListingFields<Row>): Layout<Row> {
  const format = line.value('format')
  const named = LAYOUTS.find((name) => name === format)
  const list =
    format === undefined || named !== undefined ? undefined : parseFormat(format, fields.known)
  const layout = chooseLayout(line, named)
  const isForPeople = layout === 'table' || (layout === 'parsable' && named === undefined)
  return layOut(layout, list ?? (isForPeople ? fields.table : fields.whole), {
    header: !line.has('noheader'),
  })
}

function parseFormat<Row>(format: string, known: readonly Field<Row>[]): readonly Field<Row>[] {
  try {
    return parseFieldList(format, known)
  } catch (thrown) {
    // A single word may have been meant as a layout.
    if (!/^[a-z0-9]+$/i.test(format)) throw thrown
    throw invalid('--format', format, `must be one of ${LAYOUTS.join(', ')}, or a list of fields`)
  }
}

function chooseLayout(line: VerbLine, named: LayoutName | undefined): LayoutName {
  const asked: LayoutName[] = named === undefined ? [] : [named]
  if (line.has('parsable2')) asked.push('parsable')
  if (line.has('csv')) asked.push('csv')
  if (line.has('json')) asked.push('json')
  const [first = 'table', ...others] = asked
  const other = others.find((name) => name !== first)
  if (other === undefined) return first
  throw new HepwrapError('HW_USAGE', `the output is to be ${first} and ${other}: choose one`)
}

export async function printFields<Row>({ known }: ListingFields<Row>): Promise<number> {
  await print(listFields(known))
  return 0
}

const PRINT_CHARACTERS = 64 * 1024

/** Waits for the reader, so that no more rows come than he takes. */
export async function printRows<Row>(
  layout: Layout<Row>,
  rows: AsyncIterable<Row> | Iterable<Row>,
): Promise<void> {
  let text = layout.head
  for await (const row of rows) {
    text += layout.row(row)
    if (text.length < PRINT_CHARACTERS) continue
    await print(text)
    text = ''
  }
  await print(text + layout.tail())
}
