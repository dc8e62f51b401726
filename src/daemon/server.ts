// The HTTP server on the local socket: built here, listened on in bin/. One error reply for every route.
import type { Socket } from 'node:net'
import type { IncomingMessage } from 'node:http'
import Fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import { asHepwrapError, HepwrapError, quote } from '../base/errors.js'
import type { Caller } from '../identity/caller.js'
import { watchCallers, type Callers } from './callers.js'
import type { Daemon } from './compose.js'
import { adminRoutes } from './admin-routes.js'
import { refuseSocket, replyOf, translate } from './error-reply.js'
import { policyRoutes } from './policy-routes.js'
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
    bodyLimit: MAX_BODY_BYTES,
    requestTimeout: timeoutMs,
    keepAliveTimeout: timeoutMs,
    routerOptions: { maxParamLength: 255 }, // as long as a --name
    http: { headersTimeout: timeoutMs, connectionsCheckingInterval: 500, maxHeaderSize: 16 * 1024 },
    // Fastify's defaults drop unknown fields and coerce types: a request must be what it says.
    clientErrorHandler: (cause, socket) => {
      const late = (cause as { code?: string }).code === 'ERR_HTTP_REQUEST_TIMEOUT'
      const code = late ? 'HW_REQUEST_TIMEOUT' : 'HW_REQUEST_INVALID'
      const text = late ? 'no complete request in time' : 'the request is not HTTP as we read it'
      refuseSocket(socket, new HepwrapError(code, text, { cause }))
    },
    frameworkErrors: (thrown, _request, reply: FastifyReply) => {
      const error = translate(thrown) // a URL that is none: before any hook, and any token
      void reply.code(error.statusCode).header('connection', 'close').send(replyOf(error))
    },
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false } },
  })
  const callers = watchCallers(app.server, {
    connectionsPerUser: config.limits.connections_per_user,
    requestsPerSecond: config.limits.requests_per_second,
    requestsBurst: config.limits.requests_burst,
    clock: daemon.clock,
    log,
  })
  daemon.meters.watchQueue('request', () => callers.held())
  app.decorateRequest('caller', null as unknown as Caller)
  app.addHook('onRequest', async (request, reply) => {
    // The parser takes HTTP/0.9 and 1.0 as well, whose rules for the end of a request are others.
    if (request.raw.httpVersion !== '1.1')
      throw new HepwrapError('HW_REQUEST_INVALID', 'the request is not HTTP/1.1')
    request.caller = callers.of(request.raw.socket)
    await callers.turn(request.raw.socket, reply.raw)
  })
  app.addHook('preClose', async () => callers.dropHeld())
  app.setErrorHandler((thrown, request, reply) => {
    const error = translate(thrown)
    if (error.statusCode >= 500) log.error({ err: thrown, url: request.url }, 'request failed')
    return reply.code(error.statusCode).send(replyOf(error))
  })
  app.setNotFoundHandler((request) => {
    throw new HepwrapError('HW_NOT_FOUND', `there is no ${request.method} ${quote(request.url)}`)
  })
  // Node answers these by itself, before any hook and any token; "100-continue" is no such, and comes as a request.
  app.server.on('checkExpectation', ({ socket }: IncomingMessage) => socket.destroy())
  app.server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    socket.on('error', () => undefined) // 'close' follows
    callers.turn(socket).then(
      () => acceptRun({ request, socket, head }, callers, daemon),
      () => socket.destroy(),
    )
  })
  app.register(userRoutes(daemon))
  app.register(adminRoutes(daemon))
  app.register(policyRoutes(daemon))
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
      request.httpVersion !== '1.1' ||
      request.url !== '/v1/runs' ||
      request.headers.upgrade !== 'hepwrap'
    )
      throw new HepwrapError('HW_NOT_FOUND', `there is no upgrade of ${quote(request.url ?? '')}`)
    const unread = callers.unreadOf(caller)
    serveRun({ socket, head, caller, unread }, daemon).catch((thrown: unknown) => {
      daemon.log.error({ err: thrown }, 'a run stream failed')
      socket.destroy()
    })
  } catch (thrown) {
    refuseSocket(socket, asHepwrapError(thrown))
  }
}
