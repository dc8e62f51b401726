// Values of options: text in docker's spelling → what the request says. The message quotes the option and the value.
import { HepwrapError, quote } from '../base/errors.js'
import type { PullMode, UlimitRequest } from '../wire/run-api.js'

export const invalid = (option: string, value: string, why: string): HepwrapError =>
  new HepwrapError('HW_OPTION_INVALID', `${option} ${quote(value)}: ${why}`)

/** Docker's sizes: "64m", "1.5g", "64MiB", plain bytes; powers of 1024. */
export function parseBytes(option: string, value: string): number {
  const match = /^(\d{1,16}(?:\.\d{1,9})?) ?(?:([kmgtp])i?b?|b)?$/i.exec(value)
  if (match === null) throw invalid(option, value, 'not a size like 64m or 1.5g')
  const power = ' kmgtp'.indexOf((match[2] ?? ' ').toLowerCase())
  const bytes = Math.floor(Number(match[1]) * 1024 ** power)
  if (bytes < 1 || !Number.isSafeInteger(bytes)) throw invalid(option, value, 'out of range')
  return bytes
}

export function parseCpus(value: string): number {
  const cpus = /^(\d{1,6}(\.\d{0,9})?|\.\d{1,9})$/.test(value) ? Number(value) : 0
  if (cpus <= 0) throw invalid('--cpus', value, 'not a number of processors above 0')
  return cpus
}

export function parseStopTimeout(option: string, value: string): number {
  const seconds = /^\d{1,4}$/.test(value) ? Number(value) : -1
  if (seconds < 0 || seconds > 3600) throw invalid(option, value, 'not seconds from 0 to 3600')
  return seconds
}

export function parsePull(value: string): PullMode {
  if (value === 'missing' || value === 'never' || value === 'always') return value
  throw invalid('--pull', value, 'must be missing, never or always')
}

export function parseName(value: string): string {
  if (/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}$/.test(value)) return value
  throw invalid('--name', value, 'may hold letters, digits, "_", "." and "-"')
}

export function parseWorkdir(value: string): string {
  if (value.startsWith('/')) return value
  throw invalid('--workdir', value, 'must be an absolute path')
}

/** "key=value"; docker takes "key" as an empty value. */
export function parseLabel(value: string): readonly [string, string] {
  const [, key = '', text = ''] = /^([^=]*)=?(.*)$/s.exec(value) ?? []
  if (key === '') throw invalid('--label', value, 'must be KEY or KEY=VALUE')
  return [key, text]
}

const ULIMITS =
  'core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack'

/** "nofile=1024", "nofile=1024:2048"; -1 is unlimited. */
export function parseUlimit(value: string): UlimitRequest {
  const match = /^([a-z]+)=(-1|\d{1,15})(?::(-1|\d{1,15}))?$/.exec(value)
  if (match === null) throw invalid('--ulimit', value, 'must be NAME=SOFT[:HARD]')
  const [, name = '', softText = '', hardText = softText] = match
  if (!ULIMITS.split(' ').includes(name)) throw invalid('--ulimit', value, `names are ${ULIMITS}`)
  const [soft, hard] = [Number(softText), Number(hardText)]
  if (hard !== -1 && (soft === -1 || soft > hard)) {
    throw invalid('--ulimit', value, 'the soft limit is above the hard one')
  }
  return { name, soft, hard }
}
