// The one error reply: what fastify sends and what is written on a socket that never became a request reads alike.
import type { Socket } from 'node:net'
import { asHepwrapError, HepwrapError } from '../base/errors.js'
import type { ErrorReply } from '../wire/run-api.js'

/** What broke inside is for the node's log, not for the caller. */
export const replyOf = ({ code, message }: HepwrapError): ErrorReply => ({
  code,
  message: code === 'HW_INTERNAL' ? 'hepwrapd failed; the log on the node says how' : message,
})

/** Fastify's own errors (schema, size, media type) in our words. */
export function translate(thrown: unknown): HepwrapError {
  if (thrown instanceof HepwrapError) return thrown
  const { statusCode, message } = thrown as { statusCode?: number; message?: string }
  if (statusCode === 413)
    return new HepwrapError('HW_REQUEST_TOO_LARGE', 'the request has more bytes than are read')
  if (statusCode !== undefined && statusCode < 500)
    return new HepwrapError('HW_REQUEST_INVALID', message ?? 'the request is malformed', {
      cause: thrown,
    })
  return asHepwrapError(thrown)
}

const LINGER_MS = 1000

/** Answers on a bare socket and closes it, whether or not the peer listens. */
export function refuseSocket(socket: Socket, error: HepwrapError): void {
  const body = JSON.stringify(replyOf(error))
  socket.on('error', () => undefined) // 'close' follows
  socket.end(
    `HTTP/1.1 ${error.statusCode} Refused\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  )
  socket.resume()
  const timer = setTimeout(() => socket.destroy(), LINGER_MS)
  socket.once('close', () => clearTimeout(timer))
}
