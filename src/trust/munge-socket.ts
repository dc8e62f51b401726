// munged over its socket: credentials made and opened. The words are those of libmunge (munge's m_msg.h), version 4,
// unchanged since 2006. Spoken here and not through libmunge, whose calls block a thread of Node's own for ten seconds
// when munged hangs, and with it every look-up, and the end of the program; a socket is given up at once.
import { createConnection } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { atMost } from '../base/at-most.js'
import { HepwrapError, quote } from '../base/errors.js'
import { hasCode } from '../base/has-code.js'
import { fieldsOf, framed, HEADER_BYTES, lengthOfBody, number, sized } from './munge-frames.js'

export interface MungedOptions {
  readonly socketPath?: string
  /** For the whole exchange, and for its turn before it. */
  readonly waitMs?: number
}

/** What munged says of a credential: who made it, where and when, and around which text. */
export interface OpenedCredential {
  readonly payload: string
  readonly uid: number
  readonly gid: number
  /** IPv4 address of the host that made it, by its munged: "192.0.2.1". */
  readonly origin: string
  readonly madeAtMs: number
  readonly ttlMs: number
}

/** Why a credential is none, in munged's words and number (munge_err_t). */
export interface RefusedCredential {
  readonly error: number
  readonly text: string
}

export const MUNGE_EXPIRED = 15
export const MUNGE_REWOUND = 16
export const MUNGE_REPLAYED = 17
const MUNGE_FIRST_OF_CREDENTIAL = 8

const DEFAULT_SOCKET = '/run/munge/munge.socket.2'
const DEFAULT_WAIT_MS = 8000
const BACKLOG_RETRY_MS = 20
/** munged's socket holds 256, of all programs of the host, and its threads are two. */
const AT_ONCE = 32
const inTurn = atMost(AT_ONCE)

const [ENCODE, ENCODED, DECODE, DECODED] = [2, 3, 4, 5] as const
const ANY = 0xffffffff

/** A credential of the calling uid around this text, good for one opening within munged's time (5 minutes). */
export async function makeCredential(
  payload: string,
  options: MungedOptions = {},
): Promise<string> {
  const request = Buffer.concat([
    Buffer.of(1, 1, 1, 0), // cipher, MAC and compression: munged's own; no realm
    number(0), // time to live: munged's own
    number(ANY), // anybody may open it who has the key
    number(ANY),
    sized(Buffer.from(payload)),
  ])
  const reply = fieldsOf(await exchange(ENCODE, ENCODED, request, options))
  const error = reply.byte()
  const text = reply.text(reply.byte())
  if (error !== 0) throw unavailable(text === '' ? `error ${error}` : text)
  return reply.text(reply.number())
}

/** Opens a credential. The second opening of the same one is refused by munged. */
export async function openCredential(
  credential: string,
  options: MungedOptions = {},
): Promise<OpenedCredential | RefusedCredential> {
  const request = sized(Buffer.from(`${credential}\0`))
  const reply = fieldsOf(await exchange(DECODE, DECODED, request, options))
  const error = reply.byte()
  const text = reply.text(reply.byte())
  if (error >= MUNGE_FIRST_OF_CREDENTIAL) return { error, text }
  if (error !== 0) throw unavailable(text === '' ? `error ${error}` : text)
  reply.skip(3) // cipher, MAC, compression
  reply.skip(reply.byte()) // realm
  const ttlMs = reply.number() * 1000
  const origin = [...reply.bytes(reply.byte())].join('.')
  const madeAtMs = reply.number() * 1000
  reply.skip(4) // opened at
  const [uid, gid] = [reply.number(), reply.number()]
  reply.skip(8) // who may open it
  return { payload: reply.text(reply.number()), uid, gid, origin, madeAtMs, ttlMs }
}

export const isOpened = (
  answer: OpenedCredential | RefusedCredential,
): answer is OpenedCredential => 'payload' in answer

/** One request, one reply, one connection, as munged wants it. */
async function exchange(
  type: number,
  replyType: number,
  body: Buffer,
  { socketPath = DEFAULT_SOCKET, waitMs = DEFAULT_WAIT_MS }: MungedOptions,
): Promise<Buffer> {
  const signal = AbortSignal.timeout(waitMs)
  for (;;) {
    try {
      return await inTurn(async () => {
        signal.throwIfAborted()
        return ask(socketPath, framed(type, body), replyType, signal)
      })
    } catch (error) {
      if (error instanceof HepwrapError) throw error
      if (signal.aborted) throw unavailable(`no answer within ${waitMs} ms`, error)
      if (!hasCode(error, 'EAGAIN'))
        throw unavailable(error instanceof Error ? error.message : String(error), error)
      await delay(BACKLOG_RETRY_MS) // as many wait for munged as its socket holds
    }
  }
}

function ask(path: string, request: Buffer, type: number, signal: AbortSignal): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let length = 0
    const socket = createConnection({ path })
    const onAbort = () => socket.destroy(new Error('given up'))
    signal.addEventListener('abort', onAbort, { once: true })
    socket.on('error', reject)
    socket.on('close', () => {
      signal.removeEventListener('abort', onAbort)
      reject(unavailable('it closed the connection without an answer'))
    })
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      length += chunk.length
      if (length < HEADER_BYTES) return
      const received = Buffer.concat(chunks)
      const body = lengthOfBody(received, type)
      if (body === undefined) reject(unavailable('it speaks another version of its protocol'))
      else if (length < HEADER_BYTES + body) return
      else resolve(received.subarray(HEADER_BYTES, HEADER_BYTES + body))
      socket.destroy()
    })
    socket.write(request)
    if (signal.aborted) onAbort()
  })
}

const unavailable = (reason: string, cause?: unknown) =>
  new HepwrapError('HW_MUNGE_UNAVAILABLE', `munged does not answer here: ${quote(reason)}`, {
    cause,
  })
