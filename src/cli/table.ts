// Text tables for people: fixed widths as sacct has them, too long cut with a "+"; nothing in a cell steers a terminal.
import { oneLine } from './say.js'

export interface Column<Row> {
  readonly title: string
  readonly width: number
  /** Numbers stand to the right. */
  readonly right?: boolean
  readonly cell: (row: Row) => string | number | null
}

export const tableHead = <Row>(columns: readonly Column<Row>[]): string =>
  layOut(columns, (column) => column.title)

export const tableRow = <Row>(columns: readonly Column<Row>[], row: Row): string =>
  layOut(columns, (column) => String(column.cell(row) ?? ''))

function layOut<Row>(
  columns: readonly Column<Row>[],
  text: (column: Column<Row>) => string,
): string {
  const cells = columns.map((column) => fit(oneLine(text(column)), column))
  return `${cells.join(' ').trimEnd()}\n`
}

function fit(text: string, { width, right }: { width: number; right?: boolean }): string {
  const characters = Array.from(text)
  const cut = characters.length > width ? `${characters.slice(0, width - 1).join('')}+` : text
  return right === true ? cut.padStart(width) : cut.padEnd(width)
}

/** 1536 → "1.5K": powers of 1024, at most five characters. */
export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 1000 && unit < 6) {
    value /= 1024
    unit++
  }
  const digits = unit > 0 && value < 9.95 ? 1 : 0
  return `${value.toFixed(digits)}${' KMGTPE'.charAt(unit).trim()}`
}

/** Seconds as sacct has them: "00:01:05", "2-03:00:00". */
export function formatDuration(milliseconds: number): string {
  const total = Math.max(0, Math.floor(milliseconds / 1000))
  const two = (value: number) => String(value).padStart(2, '0')
  const clock = [Math.floor(total / 3600) % 24, Math.floor(total / 60) % 60, total % 60]
    .map(two)
    .join(':')
  const days = Math.floor(total / 86_400)
  return days > 0 ? `${days}-${clock}` : clock
}
