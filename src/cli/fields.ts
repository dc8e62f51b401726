// Fields of a listing as sacct has them: a name, a width, a text for people, a value for programs; and lists of them.
import { HepwrapError, quote } from '../base/errors.js'
import { nearest } from './options.js'
import { tableHead, tableRow } from './table.js'

export interface Field<Row> {
  readonly name: string
  readonly width: number
  /** Numbers stand to the right. */
  readonly right?: boolean
  /** For people. */
  readonly text: (row: Row) => string | number | null | undefined
  /** In a table, where the text is too long for one. */
  readonly brief?: (row: Row) => string
  /** For json and csv: exact; absent: the text. */
  readonly value?: (row: Row) => unknown
}

/** "jobid,user,image%40": names in any case; "%40" is the width of a table, "%-40" with the text to the left. */
export function parseFieldList<Row>(
  list: string,
  known: readonly Field<Row>[],
): readonly Field<Row>[] {
  const words = list.split(',').filter((word) => word !== '')
  if (words.length === 0) throw new HepwrapError('HW_OPTION_INVALID', '--format "": names no field')
  return words.map((word) => {
    const [, name = '', left, width] = /^([^%]+)(?:%(-?)(\d{1,4}))?$/.exec(word) ?? []
    const field = known.find((one) => one.name.toLowerCase() === name.toLowerCase())
    if (field === undefined) throw unknownField(word, name, known)
    if (width === undefined) return field
    return widened(field, Number(width), left === '-')
  })
}

const widened = <Row>(field: Field<Row>, width: number, isLeft: boolean): Field<Row> => ({
  name: field.name,
  width: Math.max(1, width),
  right: !isLeft && field.right === true,
  text: field.text,
  ...(field.value !== undefined && { value: field.value }),
})

function unknownField<Row>(word: string, name: string, known: readonly Field<Row>[]): HepwrapError {
  const names = known.map((one) => one.name)
  const near = nearest(
    name.toLowerCase(),
    names.map((one) => one.toLowerCase()),
  )
  const meant = names.find((one) => one.toLowerCase() === near)
  const hint = meant === undefined ? 'see --helpformat' : `did you mean "${meant}"?`
  return new HepwrapError('HW_OPTION_INVALID', `--format ${quote(word)}: no such field; ${hint}`)
}

/** As `sacct --helpformat`: four a line. */
export function listFields<Row>(known: readonly Field<Row>[]): string {
  const lines: string[] = []
  for (let at = 0; at < known.length; at += 4) {
    const words = known.slice(at, at + 4).map(({ name }) => name.padEnd(19))
    lines.push(`${words.join(' ').trimEnd()}\n`)
  }
  return lines.join('')
}

/** One row in, one piece of text out: no listing is ever in memory. */
export interface Layout<Row> {
  readonly head: string
  row(row: Row): string
  tail(): string
}

export type LayoutName = 'table' | 'json' | 'ndjson' | 'csv' | 'parsable'

export function layOut<Row>(
  name: LayoutName,
  fields: readonly Field<Row>[],
  { header }: { readonly header: boolean },
): Layout<Row> {
  switch (name) {
    case 'json':
      return jsonLayout(fields)
    case 'ndjson':
      return { head: '', row: (row) => `${jsonOf(fields, row)}\n`, tail: () => '' }
    case 'csv':
      return lineLayout(fields, ',', quoteCsv, header, (field, row) => valueOf(field, row))
    case 'parsable':
      return lineLayout(fields, '|', escapeParsable, header, (field, row) => field.text(row))
    case 'table': {
      const columns = fields.map(({ name: title, width, right, text, brief }) => ({
        title,
        width,
        right: right === true,
        cell: (row: Row) => (brief ?? text)(row) ?? null,
      }))
      const head = header ? tableHead(columns) : ''
      return { head, row: (row) => tableRow(columns, row), tail: () => '' }
    }
  }
}

const valueOf = <Row>(field: Field<Row>, row: Row): unknown => (field.value ?? field.text)(row)

const jsonOf = <Row>(fields: readonly Field<Row>[], row: Row): string =>
  escapeControls(
    JSON.stringify(Object.fromEntries(fields.map((one) => [one.name, valueOf(one, row) ?? null]))),
  )

function jsonLayout<Row>(fields: readonly Field<Row>[]): Layout<Row> {
  let count = 0
  return {
    head: '[',
    row: (row) => `${count++ === 0 ? '' : ','}\n${jsonOf(fields, row)}`,
    tail: () => (count === 0 ? ']\n' : '\n]\n'),
  }
}

const lineLayout = <Row>(
  fields: readonly Field<Row>[],
  separator: string,
  escape: (text: string) => string,
  header: boolean,
  cell: (field: Field<Row>, row: Row) => unknown,
): Layout<Row> => ({
  head: header ? `${fields.map(({ name }) => escape(name)).join(separator)}\n` : '',
  row: (row) => `${fields.map((one) => escape(plainText(cell(one, row)))).join(separator)}\n`,
  tail: () => '',
})

const plainText = (value: unknown): string =>
  value === null || value === undefined
    ? ''
    : typeof value === 'string'
      ? value
      : JSON.stringify(value)

/** RFC 4180, with control characters as \uXXXX: a record is one line, and none steers a terminal. */
function quoteCsv(text: string): string {
  const safe = escapeControls(text)
  return /[",]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}

/** "|" and "\" with a backslash in front. */
const escapeParsable = (text: string): string => escapeControls(text.replace(/[\\|]/g, '\\$&'))

const escapeControls = (text: string): string =>
  text.replace(
    /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    escapeUnicode,
  )

const escapeUnicode = (char: string) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
