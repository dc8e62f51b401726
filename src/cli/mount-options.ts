// -v, --mount and --tmpfs: text in docker's spelling → mounts wished for. Opens nothing.
import { resolve } from 'node:path'
import { HepwrapError, quote } from '../base/errors.js'
import type { TmpfsRequest } from '../wire/run-api.js'
import { invalid, parseBytes } from './option-values.js'

/** A mount of a path of the host, before the path is opened. */
export interface MountWish {
  readonly source: string
  readonly target: string
  readonly readOnly: boolean
}

/** "SRC:DST", "SRC:DST:ro", "SRC:DST:rw"; SRC absolute, or relative with a dot in front as docker has it. */
export function parseVolume(value: string): MountWish {
  const [source = '', target, mode = 'rw', ...more] = value.split(':')
  if (target === undefined) {
    throw invalid('--volume', value, 'anonymous volumes are not supported, write SOURCE:TARGET')
  }
  if (more.length > 0)
    throw invalid('--volume', value, 'too many colons, use --mount for such a path')
  if (source === '') throw invalid('--volume', value, 'the source is empty')
  if (!/^(\/|\.\.?(\/|$))/.test(source)) {
    throw new HepwrapError(
      'HW_MOUNT_SOURCE',
      `--volume ${quote(value)}: named volumes are not supported; for a path write ${quote(`./${source}`)}`,
    )
  }
  if (mode !== 'ro' && mode !== 'rw') {
    throw invalid('--volume', value, `the mode ${quote(mode)} is neither ro nor rw`)
  }
  return {
    source: resolve(source),
    target: checkTarget('--volume', target),
    readOnly: mode === 'ro',
  }
}

export type ParsedMount =
  | { readonly kind: 'bind'; readonly wish: MountWish }
  | { readonly kind: 'tmpfs'; readonly tmpfs: TmpfsRequest }

const FIELD_NAMES: Readonly<Record<string, string>> = {
  type: 'type',
  source: 'source',
  src: 'source',
  target: 'target',
  destination: 'target',
  dst: 'target',
  readonly: 'readonly',
  ro: 'readonly',
  'tmpfs-size': 'tmpfs-size',
  'tmpfs-mode': 'tmpfs-mode',
}

/** "type=bind,source=/a,target=/b,readonly" and "type=tmpfs,target=/t,tmpfs-size=64m,tmpfs-mode=1777". */
export function parseMountOption(value: string): ParsedMount {
  const fields = parseMountFields(value)
  const type = fields.get('type')
  if (type !== 'bind' && type !== 'tmpfs') {
    throw invalid('--mount', value, 'the type must be bind or tmpfs')
  }
  const stranger = [...fields.keys()].find((name) => !FIELDS_OF[type].includes(name))
  if (stranger !== undefined) {
    throw invalid('--mount', value, `${quote(stranger)} does not go with type=${type}`)
  }
  const target = checkTarget('--mount', fields.get('target') ?? '')
  if (type === 'tmpfs') {
    const tmpfs = toTmpfs(target, fields.get('tmpfs-size'), fields.get('tmpfs-mode'))
    return { kind: 'tmpfs', tmpfs }
  }
  const source = fields.get('source') ?? ''
  if (source === '') throw invalid('--mount', value, 'the source is missing')
  const readOnly = parseReadOnly(value, fields.get('readonly'))
  return { kind: 'bind', wish: { source: resolve(source), target, readOnly } }
}

const FIELDS_OF: Readonly<Record<ParsedMount['kind'], readonly string[]>> = {
  bind: ['type', 'target', 'source', 'readonly'],
  tmpfs: ['type', 'target', 'tmpfs-size', 'tmpfs-mode'],
}

function parseMountFields(value: string): Map<string, string> {
  const fields = new Map<string, string>()
  for (const field of splitCsv(value)) {
    const equals = field.indexOf('=')
    const written = equals < 0 ? field : field.slice(0, equals)
    const name = FIELD_NAMES[written.toLowerCase()]
    if (name === undefined) throw invalid('--mount', value, `unknown field ${quote(written)}`)
    if (equals < 0 && name !== 'readonly') {
      throw invalid('--mount', value, `the field ${quote(written)} needs a value`)
    }
    if (fields.has(name)) throw invalid('--mount', value, `${quote(name)} is given twice`)
    fields.set(name, equals < 0 ? 'true' : field.slice(equals + 1))
  }
  return fields
}

function parseReadOnly(value: string, word = 'false'): boolean {
  if (word === 'true' || word === '1') return true
  if (word === 'false' || word === '0') return false
  throw invalid('--mount', value, `readonly=${quote(word)} is neither true nor false`)
}

/** One line of comma-separated values; a field in double quotes may hold commas and doubled quotes. */
function splitCsv(value: string): string[] {
  const fields: string[] = []
  const field = /(?:"((?:[^"]|"")*)"|([^",]*))(,|$)/y
  for (;;) {
    const match = field.exec(value)
    if (match === null) throw invalid('--mount', value, 'a quote is in the wrong place')
    fields.push(match[1]?.replaceAll('""', '"') ?? match[2] ?? '')
    if (match[3] === '') return fields
  }
}

// What the engine gives every tmpfs anyway.
const USUAL_TMPFS_FLAGS = ['rw', 'noexec', 'nosuid', 'nodev']

/** "/t", "/t:size=64m,mode=1777". */
export function parseTmpfs(value: string): TmpfsRequest {
  const colon = value.indexOf(':')
  const target = checkTarget('--tmpfs', colon < 0 ? value : value.slice(0, colon))
  const given = new Map<string, string>()
  for (const word of colon < 0 ? [] : value.slice(colon + 1).split(',')) {
    if (USUAL_TMPFS_FLAGS.includes(word)) continue
    const [, name = '', text = ''] = /^(size|mode)=(.+)$/.exec(word) ?? []
    if (name === '')
      throw invalid('--tmpfs', value, `${quote(word)} is not size=SIZE or mode=OCTAL`)
    given.set(name, text)
  }
  return toTmpfs(target, given.get('size'), given.get('mode'))
}

function toTmpfs(target: string, size: string | undefined, mode: string | undefined): TmpfsRequest {
  if (mode !== undefined && !/^0?[0-7]{1,4}$/.test(mode)) {
    throw invalid('tmpfs mode', mode, 'not an octal mode like 1777')
  }
  return {
    target,
    ...(size !== undefined && { size_bytes: parseBytes('tmpfs size', size) }),
    ...(mode !== undefined && { mode: Number.parseInt(mode, 8) }),
  }
}

function checkTarget(option: string, target: string): string {
  if (target.startsWith('/')) return target
  throw new HepwrapError(
    'HW_MOUNT_TARGET',
    `${option}: the target ${quote(target)} is not an absolute path`,
  )
}
