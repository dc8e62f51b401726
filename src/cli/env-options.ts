// -e and --env-file: what they add to the container's environment, values resolved here.
import { closeSync, openSync, readSync } from 'node:fs'
import { HepwrapError, quote } from '../base/errors.js'
import { invalid } from './option-values.js'

type Environment = Readonly<Record<string, string | undefined>>

/** Files first, whatever the order on the command line, then -e: docker's rule. */
export function planEnvironment(
  files: readonly string[],
  words: readonly string[],
  own: Environment,
): Record<string, string> {
  // No prototype: "__proto__" is a name like any other.
  const env = Object.create(null) as Record<string, string>
  for (const path of files) {
    for (const word of parseEnvFile(path, readEnvFile(path))) assign(env, word, own)
  }
  for (const word of words) {
    if (word === '' || word.startsWith('=')) throw invalid('--env', word, 'the name is empty')
    assign(env, word, own)
  }
  return env
}

/** "K=V" sets; "K" takes the value of our own environment, or leaves K alone where we have none. */
function assign(env: Record<string, string>, word: string, own: Environment): void {
  const equals = word.indexOf('=')
  const name = equals < 0 ? word : word.slice(0, equals)
  const value = equals < 0 ? own[name] : word.slice(equals + 1)
  if (value !== undefined) env[name] = value
}

/** The assignments of an env file; docker's grammar: no quotes, no continuation, comments only at the line's start. */
export function parseEnvFile(path: string, bytes: Buffer): string[] {
  const words: string[] = []
  let number = 0
  for (const line of decodeText(path, bytes).split('\n')) {
    number++
    const word = line.replace(/\r$/, '').trimStart()
    if (word === '' || word.startsWith('#')) continue
    const complain = (why: string) => invalid('--env-file', `${path}:${number}`, why)
    const name = word.split('=', 1)[0] ?? ''
    if (word.includes('\0')) throw complain('there is a NUL byte')
    if (name === '') throw complain('the name is empty')
    if (/\s/.test(name)) throw complain(`the name ${quote(name)} holds white space`)
    words.push(word)
  }
  return words
}

function decodeText(path: string, bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes) // drops a byte order mark
  } catch {
    throw invalid('--env-file', path, 'not UTF-8 text')
  }
}

// Far above what a program can be given, and small enough to hold.
const MAX_ENV_FILE_BYTES = 16 * 1024 * 1024

/** May be a pipe, as in --env-file <(command); may be /dev/zero, too. */
function readEnvFile(path: string): Buffer {
  const pieces: Buffer[] = []
  let total = 0
  try {
    const fd = openSync(path, 'r')
    try {
      for (;;) {
        const piece = Buffer.allocUnsafe(64 * 1024)
        const length = readSync(fd, piece)
        if (length === 0) return Buffer.concat(pieces)
        pieces.push(piece.subarray(0, length))
        total += length
        if (total > MAX_ENV_FILE_BYTES) break
      }
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error)
    throw invalid('--env-file', path, `cannot be read: ${code}`)
  }
  throw new HepwrapError('HW_ENV_TOO_LARGE', `--env-file ${quote(path)} is larger than 16 MiB`)
}
