// hepwrapd.toml from the disk to a checked, frozen DaemonConfig. Whatever is doubtful is refused, with file, line and key.
import { hostname } from 'node:os'
import type { TSchema } from '@sinclair/typebox'
import { Value, ValueErrorType, type ValueError } from '@sinclair/typebox/value'
import { parse, TomlError } from 'smol-toml'
import { HepwrapError, quote } from '../base/errors.js'
import { ROOT_ONLY, readGuardedFile, type Guard } from './guarded-file.js'
import { layerFaults, policyLayers } from './policy-layers.js'
import { DaemonConfigSchema, type DaemonConfig, type DaemonSections } from './schema.js'
import { lineOf, readTomlLines, type TomlLines } from './toml-lines.js'

export const DEFAULT_CONFIG_PATH = '/etc/hepwrap/hepwrapd.toml'

/** Reads and checks the file; throws HW_CONFIG_INVALID with one line a fault: "FILE:LINE: section.key: what is wrong (value)". */
export function loadDaemonConfig(
  path = DEFAULT_CONFIG_PATH,
  guard: Guard = ROOT_ONLY,
): DaemonConfig {
  return parseDaemonConfig(readGuardedFile(path, guard), path)
}

/** The pure part; `file` is for messages. */
export function parseDaemonConfig(text: string, file: string, host = hostname()): DaemonConfig {
  const written = parseToml(text, file)
  const lines = readTomlLines(text)
  const refuse = refuser(lines, file)
  refuse(sectionFaults(written))
  const raw = Value.Default(DaemonConfigSchema, written)
  refuse(keyFaults(raw))
  const { images, mounts, policy, rule, ...sections } = Value.Decode(DaemonConfigSchema, raw)
  const tables = { images, mounts, ...(policy && { policy }), ...(rule && { rule }) }
  refuse([...crossFaults(sections), ...layerFaults(tables)])
  if (sections.node.name === '') sections.node.name = host.split('.')[0] ?? host
  return deepFreeze({ ...sections, layers: policyLayers(tables, { file, lines }) })
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

interface Fault {
  readonly path: readonly string[]
  readonly text: string
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
function* sectionFaults(raw: Record<string, unknown>): Generator<Fault> {
  for (const [section, value] of Object.entries(raw)) {
    const isTable = typeof value === 'object' && !Array.isArray(value) && !(value instanceof Date)
    const schema = (DaemonConfigSchema.properties as Record<string, TSchema | undefined>)[section]
    if (!isTable && schema?.['type'] === 'object')
      yield { path: [section], text: `must be a table (${shown(value)})` }
  }
}

function* keyFaults(raw: unknown): Generator<Fault> {
  for (const error of firstOfEachPath(Value.Errors(DaemonConfigSchema, raw)))
    yield { path: pathOf(error), text: describe(error) }
}

/** Rules between keys, checked once every key is sound by itself. */
function* crossFaults({ accounting, node, engine }: DaemonSections): Generator<Fault> {
  if (accounting.aggregator !== '' && accounting.auth === 'token' && accounting.token_file === '')
    yield {
      path: ['accounting', 'token_file'],
      text: 'must name a file, because accounting.auth is "token" ("")',
    }
  if (node.socket === engine.socket)
    yield {
      path: ['node', 'socket'],
      text: `must not be the engine's own socket (${quote(node.socket)})`,
    }
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

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  Object.values(value).forEach(deepFreeze)
  return Object.freeze(value)
}
