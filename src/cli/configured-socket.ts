// [node] socket of a hepwrapd.toml; all else in it is the daemon's business. Loaded only for --config.
import { readFileSync } from 'node:fs'
import { parse } from 'smol-toml'
import { HepwrapError, quote } from '../base/errors.js'

export function readConfiguredSocket(path: string): string | undefined {
  const { node } = readToml(path)
  if (typeof node !== 'object' || !('socket' in node)) return undefined
  const { socket } = node
  if (typeof socket === 'string' && socket.startsWith('/')) return socket
  throw new HepwrapError('HW_CONFIG_INVALID', `${path}: node.socket: must be an absolute path`)
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
