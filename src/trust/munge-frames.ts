// Bytes of munged's protocol: a header of eleven bytes (magic, version, type, retry, length), numbers big-endian.

export const HEADER_BYTES = 11

const MAGIC = 0x00606d4b
const VERSION = 4
/** Far above what it ever answers to payloads of ours. */
const MAX_BODY_BYTES = 1024 * 1024

export function framed(type: number, body: Buffer): Buffer {
  return Buffer.concat([number(MAGIC), Buffer.of(VERSION, type, 0), number(body.length), body])
}

/** How many bytes follow the header; undefined: not a header of this type. */
export function lengthOfBody(received: Buffer, type: number): number | undefined {
  const isOurs =
    received.readUInt32BE(0) === MAGIC && received[4] === VERSION && received[5] === type
  const length = received.readUInt32BE(7)
  return isOurs && length <= MAX_BODY_BYTES ? length : undefined
}

export function number(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** A text with its length in front. */
export const sized = (content: Buffer): Buffer => Buffer.concat([number(content.length), content])

export type Fields = ReturnType<typeof fieldsOf>

/** Reads a body from its begin; throws RangeError behind its end. */
export function fieldsOf(body: Buffer) {
  let at = 0
  const bytes = (length: number): Buffer => {
    if (at + length > body.length) throw new RangeError('the message ends too early')
    at += length
    return body.subarray(at - length, at)
  }
  return {
    bytes,
    skip: (length: number) => void bytes(length),
    byte: () => bytes(1).readUInt8(),
    number: () => bytes(4).readUInt32BE(),
    /** munged closes some of its texts with a NUL. */
    text: (length: number) => bytes(length).toString('utf8').replace(/\0$/, ''),
  }
}
