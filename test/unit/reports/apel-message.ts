// The grammar of APEL's individual job messages, as strict as the receiver's: a header, records of "Key: value" lines, each
// ended by %%; known keys only, once each, those that must be there, and numbers where numbers are due.
export type ApelRecord = Readonly<Record<string, string>>

const INTEGERS = ['WallDuration', 'CpuDuration', 'Processors', 'NodeCount', 'StartTime', 'EndTime']
const MANDATORY = ['Site', 'LocalJobId', 'WallDuration', 'CpuDuration', 'StartTime', 'EndTime']
const KEYS = new Set([
  ...MANDATORY,
  ...INTEGERS,
  ...['SubmitHost', 'MachineName', 'Queue', 'LocalUserId', 'GlobalUserName', 'FQAN', 'VO'],
  ...['VOGroup', 'VORole', 'InfrastructureDescription', 'InfrastructureType'],
  ...['MemoryReal', 'MemoryVirtual', 'ServiceLevelType', 'ServiceLevel'],
])

export function parseApelMessage(text: string): readonly ApelRecord[] {
  const [header, ...rest] = text.split('\n')
  if (header !== 'APEL-individual-job-message: v0.3') throw new Error(`header: ${String(header)}`)
  const blocks = rest.join('\n').split('%%\n')
  if (blocks.pop() !== '') throw new Error('the last record does not end with %%')
  return blocks.map(parseRecord)
}

function parseRecord(block: string): ApelRecord {
  const record: Record<string, string> = {}
  for (const line of block.trimEnd().split('\n')) {
    const [, key = '', value = ''] = /^([A-Za-z]+): (\S.*)$/.exec(line) ?? []
    if (!KEYS.has(key)) throw new Error(`line: ${JSON.stringify(line)}`)
    if (key in record) throw new Error(`twice: ${key}`)
    record[key] = value
  }
  checkValues(record, block)
  return record
}

function checkValues(record: ApelRecord, block: string): void {
  for (const key of MANDATORY) if (!(key in record)) throw new Error(`without ${key}: ${block}`)
  for (const key of [...INTEGERS, 'MemoryReal', 'MemoryVirtual'])
    if (!/^\d+$/.test(record[key] ?? '0')) throw new Error(`${key}: ${String(record[key])}`)
  const { StartTime: start, EndTime: end, ServiceLevel: level, ServiceLevelType: type } = record
  if (Number(end) < Number(start)) throw new Error('it ends before it starts')
  if ((level === undefined) !== (type === undefined)) throw new Error('a level without its type')
  if (level !== undefined && !(Number(level) > 0)) throw new Error(`ServiceLevel: ${level}`)
}
