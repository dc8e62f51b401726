// The HTTP server on the local socket: built here, listened on in bin/. One error reply for every route.
import type { Socket } from 'node:net'
import type { IncomingMessage } from 'node:http'
import Fastify, { type FastifyBaseLogger, type FastifyInstance } from 'fastify'
import { asHepwrapError, HepwrapError, quote } from '../base/errors.js'
import type { Caller } from '../identity/caller.js'
import type { ErrorReply } from '../wire/run-api.js'
import { watchCallers, type Callers } from './callers.js'
import type { Daemon } from './compose.js'
import { adminRoutes } from './admin-routes.js'
import { serveRun } from './run-stream.js'
import { userRoutes } from './user-routes.js'

declare module 'fastify' {
  interface FastifyRequest {
    /** Who the kernel says is on the other end. */
    caller: Caller
  }
}

const MAX_BODY_BYTES = 64 * 1024

export function buildServer(daemon: Daemon): FastifyInstance {
  const { config, log } = daemon
  const timeoutMs = config.limits.request_timeout_s * 1000
  const app = Fastify({
    loggerInstance: log as FastifyBaseLogger,
    disableRequestLogging: true,
    bodyLimit: MAX_BODY_BYTES,
    requestTimeout: timeoutMs,
    keepAliveTimeout: timeoutMs,
    http: { headersTimeout: timeoutMs, connectionsCheckingInterval: 500, maxHeaderSize: 16 * 1024 },
    // Fastify's defaults drop unknown fields and coerce types: a request must be what it says.
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false } },
  })
  const callers = watchCallers(app.server, {
    connectionsPerUser: config.limits.connections_per_user,
    log,
  })
  app.decorateRequest('caller', null as unknown as Caller)
  app.addHook('onRequest', async (request) => {
    request.caller = callers.of(request.raw.socket)
  })
  app.setErrorHandler((thrown, request, reply) => {
    const error = translate(thrown)
    if (error.statusCode >= 500) log.error({ err: thrown, url: request.url }, 'request failed')
    return reply.code(error.statusCode).send(replyOf(error))
  })
  app.setNotFoundHandler((request) => {
    throw new HepwrapError('HW_NOT_FOUND', `there is no ${request.method} ${quote(request.url)}`)
  })
  app.server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    acceptRun({ request, socket, head }, callers, daemon)
  })
  app.register(userRoutes(daemon))
  app.register(adminRoutes(daemon))
  return app
}

interface Upgrade {
  readonly request: IncomingMessage
  readonly socket: Socket
  readonly head: Buffer
}

function acceptRun({ request, socket, head }: Upgrade, callers: Callers, daemon: Daemon): void {
  try {
    const caller = callers.of(socket)
    if (
      request.method !== 'POST' ||
      request.url !== '/v1/runs' ||
      request.headers.upgrade !== 'hepwrap'
    )
      throw new HepwrapError('HW_NOT_FOUND', `there is no upgrade of ${quote(request.url ?? '')}`)
    serveRun(socket, head, caller, daemon).catch((thrown: unknown) => {
      daemon.log.error({ err: thrown }, 'a run stream failed')
      socket.destroy()
    })
  } catch (thrown) {
    const error = asHepwrapError(thrown)
    const body = JSON.stringify(replyOf(error))
    socket.on('error', () => undefined)
    socket.end(
      `HTTP/1.1 ${error.statusCode} Refused\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    )
    socket.resume()
  }
}

/** Fastify's own errors (schema, size, media type) in our words. */
function translate(thrown: unknown): HepwrapError {
  if (thrown instanceof HepwrapError) return thrown
  const { statusCode, message } = thrown as { statusCode?: number; message?: string }
  if (statusCode === 413)
    return new HepwrapError(
      'HW_REQUEST_TOO_LARGE',
      `the request has more than ${MAX_BODY_BYTES} bytes`,
    )
  if (statusCode !== undefined && statusCode < 500)
    return new HepwrapError('HW_REQUEST_INVALID', message ?? 'the request is malformed', {
      cause: thrown,
    })
  return asHepwrapError(thrown)
}

/** What broke inside is for the node's log, not for the caller. */
const replyOf = ({ code, message }: HepwrapError): ErrorReply => ({
  code,
  message: code === 'HW_INTERNAL' ? 'hepwrapd failed; the log on the node says how' : message,
})
