// `hepwrap images`: what I may run on this node.
import { printableJson } from '../base/errors.js'
import type { ImageRow } from '../wire/job-api.js'
import { askDaemon } from './daemon-api.js'
import { printHelp } from './help.js'
import { print } from './print.js'
import { formatBytes, tableHead, tableRow, type Column } from './table.js'
import { parseVerbLine, refuseOperands } from './verb-line.js'

const COLUMNS: readonly Column<ImageRow>[] = [
  { title: 'IMAGE', width: 48, cell: ({ name }) => name },
  { title: 'SIZE', width: 6, right: true, cell: ({ size_bytes }) => formatBytes(size_bytes) },
  { title: 'DIGEST', width: 71, cell: ({ digest }) => digest ?? '(local)' },
]

export async function images(args: readonly string[], config: string | undefined): Promise<number> {
  const line = await parseVerbLine(args, config, [{ name: 'json', takesValue: false }])
  if (line.help) return printHelp('images')
  refuseOperands('images', line)
  const rows = await askDaemon<ImageRow[]>(line.socketPath, 'GET', '/v1/images')
  if (line.has('json')) await print(`${printableJson(rows, 2)}\n`)
  else await print(tableHead(COLUMNS) + rows.map((row) => tableRow(COLUMNS, row)).join(''))
  return 0
}
