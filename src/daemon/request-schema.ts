// Texts from a socket to checked values. The validators are compiled once; a message names the field and quotes the value.
import { TypeCompiler, type TypeCheck } from '@sinclair/typebox/compiler'
import type { Static, TSchema } from '@sinclair/typebox'
import { Type } from '@sinclair/typebox'
import { HepwrapError, quote } from '../base/errors.js'
import { signalNumber } from '../base/signals.js'
import { RunRequest } from '../wire/run-api.js'

const compiledRequest = TypeCompiler.Compile(RunRequest)
const compiledSignal = TypeCompiler.Compile(
  Type.Object({ signal: Type.String({ maxLength: 16 }) }, { additionalProperties: false }),
)
const Dimension = Type.Integer({ minimum: 0, maximum: 65535 })
const compiledResize = TypeCompiler.Compile(
  Type.Object({ rows: Dimension, columns: Dimension }, { additionalProperties: false }),
)

export const parseRequest = (payload: Buffer): RunRequest => parse(compiledRequest, payload)

export function parseSignal(payload: Buffer): number {
  const { signal } = parse(compiledSignal, payload)
  const number = signalNumber(signal)
  if (number === undefined)
    throw new HepwrapError('HW_OPTION_INVALID', `there is no signal ${quote(signal)}`)
  return number
}

export const parseResize = (payload: Buffer): { rows: number; columns: number } =>
  parse(compiledResize, payload)

function parse<T extends TSchema>(check: TypeCheck<T>, payload: Buffer): Static<T> {
  const value = parseJson(payload)
  if (check.Check(value)) return value
  const first = check.Errors(value).First()
  const path = first?.path ?? ''
  throw new HepwrapError(
    'HW_REQUEST_INVALID',
    `the request's ${quote(path)} is malformed: ${first?.message ?? 'unknown'}${shown(path, first?.value)}`,
  )
}

/** Texts and numbers only, for the rest may nest without end; and nothing of an environment, for messages are logged. */
function shown(path: string, value: unknown): string {
  const isShort = typeof value === 'string' || typeof value === 'number' || value === null
  return isShort && !/^\/(?:host_)?env(?:\/|$)/.test(path) ? ` (${quote(String(value))})` : ''
}

function parseJson(payload: Buffer): unknown {
  try {
    // A decoder that refuses malformed UTF-8, so that no two byte strings read as one text.
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload)) as unknown
  } catch (cause) {
    throw new HepwrapError('HW_REQUEST_INVALID', 'the request is not JSON in UTF-8', { cause })
  }
}
