// SitePolicy: what the site says of one user's run, each value with the place that says it. Pure.
import { quote } from '../base/errors.js'
import {
  POLICY_KEY_NAMES,
  POLICY_KEYS,
  type LastKey,
  type PolicyKey,
} from '../config/policy-keys.js'
import type { Origin, PolicyLayer, Written } from '../config/policy-layers.js'
import { layersFor } from './match.js'
import type { Subject } from './subject.js'

export interface Setting<T> {
  readonly value: T
  readonly by: Origin
}

export interface List {
  readonly entries: readonly Setting<string>[]
  /** What says that there is no more. */
  readonly by: Origin
}

type Folded<Key> = Key extends LastKey<infer T> ? Setting<T> : List

/** Keys as the file has them: site['images.allow']. */
export type SitePolicy = { readonly [Key in PolicyKey]: Folded<(typeof POLICY_KEYS)[Key]> }

/** Puts the layers that are for `subject` together; throws what layersFor throws. */
export function sitePolicyFor(subject: Subject, layers: readonly PolicyLayer[]): SitePolicy {
  const holding = layersFor(subject, layers)
  const folded = POLICY_KEY_NAMES.map((key) => [
    key,
    fold(
      key,
      holding.flatMap(({ settings }) => settings.get(key) ?? []),
    ),
  ])
  // Each key's value has been checked against its schema as the file was read.
  return Object.fromEntries(folded) as SitePolicy
}

/** '/etc/hepwrap/hepwrapd.toml:31 rule "atlas" images.allow "busybox"' */
export function originText({ file, line, layer, key }: Origin, entry?: string): string {
  const place = file === undefined ? 'built in' : `${file}:${line ?? 1} ${layer}`
  return `${place}: ${key}${entry === undefined ? '' : ` ${quote(entry)}`}`
}

function fold(key: PolicyKey, written: readonly Written[]): Setting<unknown> | List {
  const { folding, builtIn } = POLICY_KEYS[key]
  const by: Origin = { key, layer: 'built in' }
  const last = written.at(-1)
  if (folding === 'last')
    return last === undefined ? { value: builtIn, by } : { value: last.value, by: last.by }
  const start: List = { entries: builtIn.map((value) => ({ value, by })), by }
  return written.reduce(folding === 'list' ? replace : add, start)
}

function replace(before: List, written: Written): List {
  const entries = entriesOf(written).flatMap((entry) =>
    entry.value === '...' ? before.entries : [entry],
  )
  return { entries, by: written.by }
}

function add(before: List, written: Written): List {
  const taken = entriesOf(written)
  const back = new Set(
    taken.filter(({ value }) => value.startsWith('!')).map(({ value }) => value.slice(1)),
  )
  const kept = before.entries.filter(({ value }) => !back.has(value))
  const known = new Set(kept.map(({ value }) => value))
  const more = taken.filter(({ value }) => !value.startsWith('!') && !known.has(value))
  return { entries: [...kept, ...more], by: written.by }
}

const entriesOf = ({ value, entries }: Written): readonly Setting<string>[] =>
  (value as readonly string[]).map((entry, index) => ({
    value: entry,
    by: entries[index] as Origin, // one for each: config/policy-layers
  }))

export const valuesOf = ({ entries }: List): readonly string[] => entries.map(({ value }) => value)
