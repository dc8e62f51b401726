// What the client reads of a hepwrapd.toml: [node] socket and [accounting]; all else in it is the daemon's business.
import { accessSync, constants, readFileSync } from 'node:fs'
import { parse } from 'smol-toml'
import { HepwrapError, quote } from '../base/errors.js'

export function readConfiguredSocket(path: string): string | undefined {
  const { node } = readToml(path)
  if (typeof node !== 'object' || !('socket' in node)) return undefined
  const { socket } = node
  if (typeof socket === 'string' && socket.startsWith('/')) return socket
  throw new HepwrapError('HW_CONFIG_INVALID', `${path}: node.socket: must be an absolute path`)
}

/** As the file has them; empty where it has none. */
export interface ConfiguredAccounting {
  readonly aggregator: string
  readonly auth: string
  readonly ca_file: string
}

/** `mayBeAbsent`: so may it be unreadable. The usual file is the admin's, and not every host has one. */
export function readConfiguredAccounting(
  path: string,
  { mayBeAbsent }: { readonly mayBeAbsent: boolean },
): ConfiguredAccounting {
  const { accounting } = mayBeAbsent && !isReadable(path) ? {} : readToml(path)
  const keys = new Map<string, unknown>(
    typeof accounting === 'object' ? Object.entries(accounting) : [],
  )
  const text = (key: keyof ConfiguredAccounting): string => {
    const value = keys.get(key) ?? ''
    if (typeof value === 'string') return value
    throw new HepwrapError('HW_CONFIG_INVALID', `${path}: accounting.${key}: must be a string`)
  }
  return {
    aggregator: text('aggregator'),
    auth: text('auth'),
    ca_file: text('ca_file'),
  }
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK)
    return true
  } catch {
    return false
  }
}

function readToml(path: string) {
  try {
    return parse(readFileSync(path, 'utf8'))
  } catch (error) {
    // The parser's first line says what; those behind it draw the place.
    const why = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error)
    throw new HepwrapError('HW_CONFIG_INVALID', `cannot read ${quote(path)}: ${why}`)
  }
}
