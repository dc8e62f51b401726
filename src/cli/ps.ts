// `hepwrap ps [-a]`: my containers on this node; root sees all.
import { printableJson } from '../base/errors.js'
import type { ContainerRow } from '../wire/job-api.js'
import { askDaemon } from './daemon-api.js'
import { printHelp } from './help.js'
import { print } from './print.js'
import { tableHead, tableRow, type Column } from './table.js'
import { parseVerbLine, refuseOperands } from './verb-line.js'

const COLUMNS: readonly Column<ContainerRow>[] = [
  { title: 'ID', width: 12, cell: ({ id }) => id.slice(0, 12) },
  { title: 'USER', width: 10, cell: ({ user, uid }) => user ?? uid },
  { title: 'JOB', width: 14, cell: ({ job_id, step_id }) => jobName(job_id, step_id) },
  { title: 'STATE', width: 13, cell: ({ state }) => state },
  { title: 'EXIT', width: 4, right: true, cell: ({ exit_code }) => exit_code },
  { title: 'CREATED', width: 19, cell: ({ created_at }) => created_at.slice(0, 19) },
  { title: 'IMAGE', width: 24, cell: ({ image }) => image },
  { title: 'COMMAND', width: 24, cell: ({ command }) => command },
  { title: 'NAME', width: 16, cell: ({ name }) => name },
]

export async function ps(args: readonly string[], config: string | undefined): Promise<number> {
  const line = await parseVerbLine(args, config, [
    { name: 'all', short: 'a', takesValue: false },
    { name: 'json', takesValue: false },
  ])
  if (line.help) return printHelp('ps')
  refuseOperands('ps', line)
  const path = line.has('all') ? '/v1/containers?all=true' : '/v1/containers'
  const rows = await askDaemon<ContainerRow[]>(line.socketPath, 'GET', path)
  if (line.has('json')) await print(`${printableJson(rows, 2)}\n`)
  else await print(tableHead(COLUMNS) + rows.map((row) => tableRow(COLUMNS, row)).join(''))
  return 0
}

/** As Slurm writes it: "42.0", "42.batch". */
export const jobName = (jobId: number | null, stepId: string | null): string =>
  jobId === null ? '' : stepId === null ? String(jobId) : `${jobId}.${stepId}`
