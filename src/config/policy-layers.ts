// [policy] and the [[rule]] blocks of a checked file as layers: what each says, and on which line.
import { quote } from '../base/errors.js'
import { parseAlwaysEntry } from './always-entry.js'
import {
  MATCH_KEYS,
  POLICY_KEY_NAMES,
  POLICY_KEYS,
  type MatchKey,
  type PolicyKey,
} from './policy-keys.js'
import { reservedTarget } from './reserved-target.js'
import { lineOf, type TomlLines } from './toml-lines.js'

/** Where a value stands; without a line: built in. */
export interface Origin {
  readonly key: PolicyKey
  /** "built in", "[policy]", or "rule "atlas"" */
  readonly layer: string
  readonly file?: string
  readonly line?: number
}

export interface Written {
  readonly value: unknown
  readonly by: Origin
  /** For a list: where each of its entries stands. */
  readonly entries: readonly Origin[]
}

export interface PolicyLayer {
  readonly name: string
  /** Undefined: everybody. Otherwise one glob of each list must match. */
  readonly match: Readonly<Partial<Record<MatchKey, readonly string[]>>> | undefined
  readonly settings: ReadonlyMap<PolicyKey, Written>
}

/** The file's tables, each key already sound by itself. */
export interface PolicyTables {
  readonly images?: object
  readonly mounts?: object
  readonly policy?: object
  readonly rule?: readonly object[]
}

export interface LayerFault {
  readonly path: readonly string[]
  readonly text: string
}

export interface Source {
  readonly file: string
  readonly lines: TomlLines
}

export function policyLayers(tables: PolicyTables, source: Source): readonly PolicyLayer[] {
  const shared = [
    ...settingsOf(tables.policy ?? {}, ['policy'], '[policy]', source),
    ...settingsOf({ images: tables.images }, [], '[images]', source),
    ...settingsOf({ mounts: tables.mounts }, [], '[mounts]', source),
  ]
  const rules = (tables.rule ?? []).map((rule, index): PolicyLayer => {
    const name = ruleName(rule, index)
    return {
      name,
      match: matchOf(rule),
      settings: new Map(settingsOf(rule, ['rule', String(index)], name, source)),
    }
  })
  return [{ name: '[policy]', match: undefined, settings: new Map(shared) }, ...rules]
}

/** Rules between keys and between layers, each key being sound by itself. */
export function* layerFaults(tables: PolicyTables): Generator<LayerFault> {
  for (const group of ['images', 'mounts'] as const)
    for (const key of Object.keys(tables[group] ?? {}))
      if (valueAt(tables.policy ?? {}, `${group}.${key}`) !== undefined)
        yield { path: [group, key], text: `is written in [policy] too; write it in one place` }
  const names = new Set<string>()
  for (const [index, rule] of (tables.rule ?? []).entries()) {
    const path = ['rule', String(index)]
    const name = ruleName(rule, index)
    if (matchOf(rule) === undefined)
      yield { path, text: `must say whom it is for: one of ${MATCH_KEYS.join(', ')}` }
    if (names.has(name)) yield { path: [...path, 'name'], text: `is used twice (${name})` }
    names.add(name)
  }
  for (const [table, path] of tablesOf(tables)) {
    yield* alwaysFaults(valueAt(table, 'mounts.always'), [...path, 'mounts', 'always'])
    yield* listFaults(table, path, tables)
    yield* denyFaults(valueAt(table, 'images.deny'), [...path, 'images', 'deny'])
  }
}

const ruleName = (rule: object, index: number): string => {
  const { name } = rule as { name?: string }
  return name === undefined ? `rule ${index + 1}` : `rule ${quote(name)}`
}

function matchOf(rule: object): PolicyLayer['match'] {
  const named = Object.entries(rule).filter(([key]) =>
    (MATCH_KEYS as readonly string[]).includes(key),
  )
  return named.length === 0 ? undefined : Object.fromEntries(named)
}

function settingsOf(
  table: object,
  path: readonly string[],
  layer: string,
  { file, lines }: Source,
): (readonly [PolicyKey, Written])[] {
  return POLICY_KEY_NAMES.flatMap((key) => {
    const value = valueAt(table, key)
    if (value === undefined) return []
    const at = [...path, ...key.split('.')]
    const origin = (of: readonly string[]): Origin => ({
      key,
      layer,
      file,
      line: lineOf(lines, of),
    })
    const entries = Array.isArray(value)
      ? value.map((_entry, index) => origin([...at, String(index)]))
      : []
    return [[key, { value, by: origin(at), entries }] as const]
  })
}

/** "images.allow" of {images: {allow: …}}. */
function valueAt(table: object, key: string): unknown {
  let value: unknown = table
  for (const part of key.split('.'))
    value =
      typeof value === 'object' && value !== null && Object.hasOwn(value, part)
        ? (value as Record<string, unknown>)[part]
        : undefined
  return value
}

function* tablesOf(tables: PolicyTables): Generator<readonly [object, readonly string[]]> {
  yield [tables.policy ?? {}, ['policy']]
  yield [{ images: tables.images, mounts: tables.mounts }, []]
  for (const [index, rule] of (tables.rule ?? []).entries()) yield [rule, ['rule', String(index)]]
}

const asTexts = (value: unknown): readonly string[] =>
  Array.isArray(value) ? value.filter((entry): entry is string => typeof entry === 'string') : []

function* alwaysFaults(value: unknown, path: readonly string[]): Generator<LayerFault> {
  const targets = new Set<string>()
  for (const [index, entry] of asTexts(value).entries()) {
    const target = parseAlwaysEntry(entry)?.target ?? entry
    const at = [...path, String(index)]
    const reserved = reservedTarget(target)
    if (reserved !== undefined)
      yield { path: at, text: `target is reserved: ${reserved} (${quote(entry)})` }
    if (targets.has(target)) yield { path: at, text: `target is used twice (${quote(entry)})` }
    targets.add(target)
  }
}

/** "*x*" is short for Docker Hub's own images of that name, as "x" is; who denies it means more. */
function* denyFaults(value: unknown, path: readonly string[]): Generator<LayerFault> {
  for (const [index, entry] of asTexts(value).entries()) {
    const [, name = ''] = /^!?(?:(?:index\.)?docker\.io\/)?([^/:@]*)(?:[:@].*)?$/.exec(entry) ?? []
    if (name === '*' || !/[*?]/.test(name)) continue
    yield {
      path: [...path, String(index)],
      text: `means images of Docker Hub's without a user alone; write "*/${name}" or "*/*/${name}" too, with a registry (${quote(entry)})`,
    }
  }
}

/** An entry that is taken back must stand somewhere; what is taken back by mistake would stay forbidden unseen. */
function* listFaults(
  table: object,
  path: readonly string[],
  all: PolicyTables,
): Generator<LayerFault> {
  for (const key of POLICY_KEY_NAMES) {
    const { folding, builtIn } = POLICY_KEYS[key]
    if (folding !== 'denials') continue
    const elsewhere = [...tablesOf(all)].flatMap(([other]) => asTexts(valueAt(other, key)))
    for (const [index, entry] of asTexts(valueAt(table, key)).entries()) {
      if (!entry.startsWith('!') || [...builtIn, ...elsewhere].includes(entry.slice(1))) continue
      yield {
        path: [...path, ...key.split('.'), String(index)],
        text: `takes back an entry that stands nowhere (${quote(entry)})`,
      }
    }
  }
}
