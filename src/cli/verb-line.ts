// The command line of an everyday verb: options and operands mixed, --config and --help always among them.
import { HepwrapError, quote } from '../base/errors.js'
import { parseOptions, parseSwitch, type OptionSpec, type ParseManner } from './options.js'
import { findSocket } from './socket-path.js'

export interface VerbLine {
  readonly socketPath: string
  /** The hepwrapd.toml that was named. */
  readonly configPath: string | undefined
  readonly operands: readonly string[]
  readonly help: boolean
  /** The last value given. */
  value(name: string): string | undefined
  has(name: string): boolean
}

const EVERYWHERE: readonly OptionSpec[] = [
  { name: 'config', takesValue: true },
  { name: 'help', short: 'h', takesValue: false },
]

export async function parseVerbLine(
  args: readonly string[],
  config: string | undefined,
  table: readonly OptionSpec[],
  manner: ParseManner = {},
): Promise<VerbLine> {
  const { options, operands } = parseOptions(args, [...table, ...EVERYWHERE], manner)
  const value = (name: string) => options.findLast((option) => option.name === name)?.value
  const has = (name: string) => {
    const option = options.findLast((candidate) => candidate.name === name)
    return option !== undefined && parseSwitch(option)
  }
  const configPath = value('config') ?? config
  return {
    socketPath: await findSocket(configPath),
    configPath,
    operands,
    help: has('help'),
    value,
    has,
  }
}

export function refuseOperands(verb: string, { operands: [first] }: VerbLine): void {
  if (first === undefined) return
  throw new HepwrapError('HW_USAGE', `${verb} takes no argument, got ${quote(first)}`)
}
