// One shape for every refusal: {"error": {"code", "message"}}. What broke inside is for the log.
import type { Socket } from 'node:net'
import { randomInt } from 'node:crypto'
import { asHepwrapError, HepwrapError, REASONS } from '../base/errors.js'

export interface ErrorReply {
  readonly error: { readonly code: string; readonly message: string }
}

export const replyOf = ({ code, message, statusCode }: HepwrapError): ErrorReply => ({
  error: { code, message: statusCode >= 500 ? REASONS[code].meaning : message },
})

/** Seconds until it makes sense to come again; drawn, so that those who were refused together do not come together. */
export const retryAfterSeconds = ({ code }: HepwrapError): number =>
  code === 'HW_AGGREGATOR_BUSY' ? randomInt(1, 6) : randomInt(5, 16)

/** Fastify's own errors in our words. */
export function translate(thrown: unknown): HepwrapError {
  if (thrown instanceof HepwrapError) return thrown
  const { statusCode, message } = thrown as { statusCode?: number; message?: string }
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500)
    return new HepwrapError('HW_REQUEST_INVALID', message ?? 'the request is malformed', {
      cause: thrown,
    })
  return asHepwrapError(thrown)
}

/** Answers on a socket whose request never became one. */
export function refuseSocket(socket: Socket, cause: Error): void {
  const isLate = 'code' in cause && cause.code === 'ERR_HTTP_REQUEST_TIMEOUT'
  const error = isLate
    ? new HepwrapError('HW_REQUEST_TIMEOUT', 'no complete request in time')
    : new HepwrapError('HW_REQUEST_INVALID', 'the request is not HTTP as we read it')
  if (socket.destroyed || !socket.writable) return
  const body = JSON.stringify(replyOf(error))
  socket.on('error', () => undefined) // 'close' follows
  socket.end(
    `HTTP/1.1 ${error.statusCode} Refused\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    () => socket.destroy(),
  )
}
