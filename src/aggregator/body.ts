// The body of a request, within what memory allows: its length is known and granted before it is read, and what it unpacks to
// is bounded.
import type { IncomingMessage } from 'node:http'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { HepwrapError } from '../base/errors.js'
import { hasCode } from '../base/has-code.js'

/** The length that the request announces; refuses one without, and one beyond `maxBytes`. */
export function announcedLength(request: IncomingMessage, maxBytes: number): number {
  const { 'content-length': announced, 'transfer-encoding': chunked } = request.headers
  if (chunked !== undefined)
    throw new HepwrapError('HW_LENGTH_REQUIRED', 'the request must have a Content-Length')
  const length = Number(announced ?? 0)
  if (length > maxBytes)
    throw new HepwrapError(
      'HW_BATCH_TOO_LARGE',
      `the body has ${length} bytes; at most ${maxBytes} are read`,
    )
  return length
}

/** Reads exactly `length` bytes; throws HW_REQUEST_INVALID where the sender stops before. */
export async function readBody(request: IncomingMessage, length: number): Promise<Buffer> {
  const body = Buffer.allocUnsafe(length) // takes no memory before it is written
  let at = 0
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      at += chunk.copy(body, at)
    }
  } catch (cause) {
    throw new HepwrapError(
      'HW_REQUEST_INVALID',
      `the sender stopped after ${at} of ${length} bytes`,
      { cause },
    )
  }
  if (at !== length)
    throw new HepwrapError('HW_REQUEST_INVALID', `the body has ${at} bytes, not ${length}`)
  return body
}

const unpack = promisify(gunzip)

/** The body as it was before it was compressed, if it was; never more than `maxBytes`. */
export async function unpacked(
  body: Buffer,
  encoding: string | undefined,
  maxBytes: number,
): Promise<Buffer> {
  if (encoding === undefined || encoding === 'identity') return body
  if (encoding !== 'gzip')
    throw new HepwrapError('HW_REQUEST_INVALID', 'the Content-Encoding must be gzip, or none')
  try {
    return await unpack(body, { maxOutputLength: maxBytes })
  } catch (cause) {
    if (hasCode(cause, 'ERR_BUFFER_TOO_LARGE'))
      throw new HepwrapError(
        'HW_BATCH_TOO_LARGE',
        `the body unpacks to more than ${maxBytes} bytes`,
      )
    throw new HepwrapError('HW_BATCH_INVALID', 'the body is not gzip, or is cut off', { cause })
  }
}
