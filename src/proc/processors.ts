// The node's processors, by /proc/cpuinfo: their name, and how many sockets, cores and threads there are.
import { readFileSync } from 'node:fs'

export interface Processors {
  readonly model: string | undefined
  /** Undefined where the kernel does not say (ARM, some virtual machines). */
  readonly sockets: number | undefined
  readonly cores: number | undefined
  readonly threads: number
}

export function readProcessors(procRoot = '/proc'): Processors {
  const blocks = readFileSync(`${procRoot}/cpuinfo`, 'utf8')
    .split('\n\n')
    .map(parseBlock)
    .filter((block) => block.has('processor'))
  const sockets = distinct(blocks, (block) => block.get('physical id'))
  const cores = distinct(blocks, (block) => {
    const core = block.get('core id')
    return core === undefined ? undefined : `${block.get('physical id') ?? ''}/${core}`
  })
  const model = blocks[0]?.get('model name')?.replace(/\s+/g, ' ')
  return { model: model === '' ? undefined : model, sockets, cores, threads: blocks.length }
}

/** "model name\t: Intel(R) Xeon(R) …" */
function parseBlock(text: string): ReadonlyMap<string, string> {
  const entries = text.split('\n').map((line) => {
    const [name = '', ...value] = line.split(':')
    return [name.trim(), value.join(':').trim()] as const
  })
  return new Map(entries)
}

type Block = ReadonlyMap<string, string>

function distinct(
  blocks: readonly Block[],
  of: (block: Block) => string | undefined,
): number | undefined {
  const values = blocks.map(of)
  return values.length === 0 || values.includes(undefined) ? undefined : new Set(values).size
}
