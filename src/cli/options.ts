// A command line in docker's manners: bundled short options, repeated options, `--opt value` and `--opt=value`.
// Knows nothing of what an option means; the tables of the verbs say that.
import { HepwrapError, quote } from '../base/errors.js'

export interface OptionSpec {
  /** Long name without its dashes. */
  readonly name: string
  /** One letter. */
  readonly short?: string
  readonly takesValue: boolean
  /** The option that this one is another word for. */
  readonly means?: string
  /** Never what somebody may have meant. */
  readonly unwanted?: true
}

export interface GivenOption {
  readonly name: string
  /** Of a switch: undefined, or what stands behind `=`. */
  readonly value: string | undefined
}

export interface CommandLine {
  readonly options: readonly GivenOption[]
  readonly operands: readonly string[]
}

export interface ParseManner {
  /** Options end at the first operand: all behind it belongs to the container. */
  readonly stopAtOperand?: boolean
}

export function parseOptions(
  args: readonly string[],
  table: readonly OptionSpec[],
  manner: ParseManner = {},
): CommandLine {
  const options: GivenOption[] = []
  const operands: string[] = []
  const rest = [...args]
  while (rest.length > 0) {
    const word = rest.shift() ?? ''
    if (word === '--') {
      operands.push(...rest)
      break
    }
    if (word.startsWith('--')) options.push(parseLong(word, rest, table))
    else if (word.startsWith('-') && word !== '-') options.push(...parseShorts(word, rest, table))
    else {
      operands.push(word)
      if (manner.stopAtOperand !== true) continue
      operands.push(...rest)
      break
    }
  }
  return { options, operands }
}

function parseLong(word: string, rest: string[], table: readonly OptionSpec[]): GivenOption {
  const equals = word.indexOf('=')
  const written = equals < 0 ? word : word.slice(0, equals)
  const spec = table.find(({ name }) => `--${name}` === written)
  if (spec === undefined) throw unknownOption(written, table)
  const { takesValue } = spec
  const name = spec.means ?? spec.name
  if (equals >= 0) return { name, value: word.slice(equals + 1) }
  return { name, value: takesValue ? takeValue(written, rest) : undefined }
}

// Like "-it", "-eK=V", "-e=K=V", "-itw /x": switches, then at most one option with its value.
function parseShorts(word: string, rest: string[], table: readonly OptionSpec[]): GivenOption[] {
  const given: GivenOption[] = []
  for (let at = 1; at < word.length; at++) {
    const letter = word.charAt(at)
    const spec = table.find(({ short }) => short === letter)
    if (spec === undefined) throw unknownOption(`-${letter}`, table)
    const { takesValue } = spec
    const name = spec.means ?? spec.name
    const behind = word.slice(at + 1)
    if (behind.startsWith('=')) return [...given, { name, value: behind.slice(1) }]
    if (takesValue) {
      return [...given, { name, value: behind === '' ? takeValue(`-${letter}`, rest) : behind }]
    }
    given.push({ name, value: undefined })
  }
  return given
}

function takeValue(written: string, rest: string[]): string {
  const value = rest.shift()
  if (value === undefined) throw new HepwrapError('HW_USAGE', `option "${written}" needs a value`)
  return value
}

/** Whether a switch is on: docker takes `--read-only=false` and Go's other spellings. */
export function parseSwitch({ name, value }: GivenOption): boolean {
  if (value === undefined || /^(1|t|T|true|TRUE|True)$/.test(value)) return true
  if (/^(0|f|F|false|FALSE|False)$/.test(value)) return false
  throw new HepwrapError('HW_OPTION_INVALID', `--${name}=${quote(value)} is neither true nor false`)
}

function unknownOption(written: string, table: readonly OptionSpec[]): HepwrapError {
  const names = table.filter(({ unwanted }) => unwanted !== true).map(({ name }) => name)
  const near = written.startsWith('--') ? nearest(written.slice(2), names) : undefined
  const hint = near === undefined ? '' : `; did you mean "--${near}"?`
  return new HepwrapError('HW_OPTION_UNKNOWN', `unknown option ${quote(written)}${hint}`)
}

/** The candidate that a slip of the hand turns into `word`, if there is one. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const most = Math.max(1, Math.floor(word.length / 3))
  let best: string | undefined
  let bestDistance = most + 1
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - word.length) > most) continue
    const distance = editDistance(word, candidate)
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance]
  }
  return best
}

// Letters wrong, missing, too many, or swapped with their neighbour (optimal string alignment).
function editDistance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, index) => index)]
  const at = (i: number, j: number) => rows[i]?.[j] ?? Number.POSITIVE_INFINITY
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    rows.push(row)
    for (let j = 1; j <= b.length; j++) {
      const isSame = a[i - 1] === b[j - 1]
      const isSwapped = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      row.push(
        Math.min(
          at(i - 1, j - 1) + (isSame ? 0 : 1),
          at(i - 1, j) + 1,
          at(i, j - 1) + 1,
          isSwapped ? at(i - 2, j - 2) + 1 : Number.POSITIVE_INFINITY,
        ),
      )
    }
  }
  return at(a.length, b.length)
}
