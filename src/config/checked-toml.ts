// A TOML text against a schema: every fault at once, each with file, line and key. What the configuration files share.
import type { Static, TObject, TSchema } from '@sinclair/typebox'
import { Value, ValueErrorType, type ValueError } from '@sinclair/typebox/value'
import { parse, TomlError } from 'smol-toml'
import { HepwrapError, quote } from '../base/errors.js'
import { lineOf, readTomlLines, type TomlLines } from './toml-lines.js'

export interface Fault {
  /** The key, in its parts. */
  readonly path: readonly string[]
  readonly text: string
}

export interface CheckedToml<Values> {
  readonly values: Values
  readonly lines: TomlLines
  /** Throws HW_CONFIG_INVALID with one line a fault, if there is one: "FILE:LINE: section.key: what is wrong". */
  readonly refuse: (faults: Iterable<Fault>) => void
}

/** The values with their defaults; throws HW_CONFIG_INVALID. `file` is for messages. */
export function checkedToml<Schema extends TObject>(
  schema: Schema,
  text: string,
  file: string,
): CheckedToml<Static<Schema>> {
  const written = parseToml(text, file)
  const lines = readTomlLines(text)
  const refuse = refuser(lines, file)
  refuse(sectionFaults(schema, written))
  const raw = Value.Default(schema, written)
  refuse(keyFaults(schema, raw))
  return { values: Value.Decode(schema, raw), lines, refuse }
}

function parseToml(text: string, file: string): Record<string, unknown> {
  try {
    return parse(text, { unsafeKeyBehaviour: 'throw' })
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const [first = 'not TOML'] = error.message.split('\n')
    throw new HepwrapError('HW_CONFIG_INVALID', `${file}:${error.line}: ${first}`, { cause: error })
  }
}

/** Throws all faults at once, each with the line where its key stands. */
function refuser(lines: TomlLines, file: string): (faults: Iterable<Fault>) => void {
  return (faults) => {
    const found = [...faults]
    if (found.length === 0) return
    const messages = found.map(
      (fault) =>
        `${file}:${lineOf(lines, fault.path)}: ${fault.path.map(bareOrQuoted).join('.')}: ${fault.text}`,
    )
    throw new HepwrapError('HW_CONFIG_INVALID', messages.join('\n'))
  }
}

// Looked at before defaults are filled in, which would make an empty array or a date look like a table.
function* sectionFaults(root: TObject, raw: Record<string, unknown>): Generator<Fault> {
  for (const [section, value] of Object.entries(raw)) {
    const isTable = typeof value === 'object' && !Array.isArray(value) && !(value instanceof Date)
    const schema = (root.properties as Record<string, TSchema | undefined>)[section]
    if (!isTable && schema?.['type'] === 'object')
      yield { path: [section], text: `must be a table (${shown(value)})` }
  }
}

function* keyFaults(root: TObject, raw: unknown): Generator<Fault> {
  for (const error of firstOfEachPath(Value.Errors(root, raw)))
    yield { path: pathOf(error), text: describe(error) }
}

const bareOrQuoted = (key: string): string => (/^[A-Za-z0-9_-]+$/.test(key) ? key : quote(key))

// A wrong type fails its pattern too: the first fault of a key says enough.
function* firstOfEachPath(errors: Iterable<ValueError>): Generator<ValueError> {
  const seen = new Set<string>()
  for (const error of errors) {
    if (seen.has(error.path)) continue
    seen.add(error.path)
    yield error
  }
}

function describe(error: ValueError): string {
  if (error.type === ValueErrorType.ObjectAdditionalProperties) return 'unknown key'
  const expects: unknown = error.schema['expects']
  return `must be ${typeof expects === 'string' ? expects : 'another value'} (${shown(error.value)})`
}

function shown(value: unknown): string {
  if (typeof value === 'string') return quote(value)
  return typeof value === 'number' ? String(value) : JSON.stringify(value).slice(0, 200)
}

/** "/mounts/always/2" in its parts; JSON pointer escapes undone. */
const pathOf = (error: ValueError): string[] =>
  error.path
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))

export function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  Object.values(value).forEach(deepFreeze)
  return Object.freeze(value)
}
