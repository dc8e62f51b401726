// `hepwrap acct`'s formats read back as a program would read them.
import { RECORD_FIELDS } from '../../src/wire/record-fields.js'

/** RFC 4180: cells of quoted or plain text. */
export const parseCsv = (text: string): string[][] =>
  lines(text).map((line) =>
    [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^",]*))/g)].map(
      ([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain ?? '',
    ),
  )

/** "a\|b|c\\" is ["a|b", "c\"]. */
export const parseParsable = (text: string): string[][] =>
  lines(text).map((line) => {
    const fields = ['']
    for (const [piece] of line.matchAll(/\\.|[^]/g)) {
      if (piece === '|') fields.push('')
      else fields.push(`${fields.pop() ?? ''}${/^\\[\\|]$/.test(piece) ? piece.slice(1) : piece}`)
    }
    return fields
  })

/** By the columns of the head. */
export function parseTable(text: string): Record<string, string>[] {
  const [head = '', ...rows] = lines(text)
  const columns = [...head.matchAll(/\S+ */g)].map(({ 0: title, index }) => ({
    title: title.trim(),
    index,
    end: index + title.length < head.length ? index + title.length : undefined,
  }))
  return rows.map((row) =>
    Object.fromEntries(
      columns.map(({ title, index, end }) => [title, row.slice(index, end).trim()]),
    ),
  )
}

export const lines = (text: string): string[] => text.split('\n').slice(0, -1)

/** A row of cells by the names of the fields. */
export const named = (cells: string[]): Record<string, string> =>
  Object.fromEntries(RECORD_FIELDS.map((field, index) => [field, cells[index] ?? '']))

export const unescapeControls = (text: string): string =>
  text.replace(/\\u([0-9a-f]{4})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)))
