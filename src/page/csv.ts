// A table as a file for spreadsheets: RFC 4180.

export type Cell = string | number | null

export const csvOf = (head: readonly string[], rows: readonly (readonly Cell[])[]): string =>
  [head, ...rows].map((row) => `${row.map(fieldOf).join(',')}\r\n`).join('')

/** Users choose names: one that begins like a formula is no formula in a spreadsheet ("'=…"). */
function fieldOf(cell: Cell): string {
  if (cell === null) return ''
  if (typeof cell === 'number') return String(cell)
  const text = /^[=+\-@\t\r]/.test(cell) ? `'${cell}` : cell
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
