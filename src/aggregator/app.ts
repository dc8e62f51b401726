// The HTTP server: built here, listened on in main. Who asks is settled before a byte of a body is read.
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { HepwrapError, quote } from '../base/errors.js'
import type { Vouched } from '../trust/verify.js'
import type { Aggregator } from './compose.js'
import { refuseSocket, replyOf, retryAfterSeconds, translate } from './error-reply.js'
import { ingestRoutes } from './ingest-routes.js'
import { openRoutes, SESSION_COOKIE } from './open-routes.js'
import type { Party } from './party.js'
import { readRoutes } from './read-routes.js'
import { sessionRoutes } from './session-routes.js'

declare module 'fastify' {
  interface FastifyRequest {
    /** Whose request it is; of open routes nobody's. */
    party: Party
    vouched: Vouched
  }
  interface FastifyContextConfig {
    /** Anybody may ask. */
    open?: boolean
    /** The route reads the body itself. */
    body?: 'own'
  }
}

const MAX_HEADER_BYTES = 48 * 1024
const HEADERS_TIMEOUT_MS = 10_000
const KEEP_ALIVE_MS = 75_000
const NO_BODY = new Uint8Array()

export interface TlsFiles {
  readonly cert: string
  readonly key: string
}

export function buildApp(aggregator: Aggregator, tls: TlsFiles | undefined): FastifyInstance {
  const timeoutMs = aggregator.config.server.request_timeout_s * 1000
  const http = {
    headersTimeout: Math.min(HEADERS_TIMEOUT_MS, timeoutMs),
    connectionsCheckingInterval: 1000,
    maxHeaderSize: MAX_HEADER_BYTES,
    keepAlive: true, // TCP's: readers and nodes that vanished are noticed
  }
  const app = Fastify({
    requestTimeout: timeoutMs,
    keepAliveTimeout: KEEP_ALIVE_MS,
    routerOptions: { maxParamLength: 255 },
    exposeHeadRoutes: false,
    clientErrorHandler: (cause, socket) => refuseSocket(socket, cause),
    frameworkErrors: (thrown, request, reply) => void refuse(thrown, request, reply, aggregator),
    ...(tls === undefined ? { http } : { https: { ...http, ...tls, minVersion: 'TLSv1.2' } }),
  }) as FastifyInstance
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _payload, done) => done(null)) // the routes read it, or nobody
  app.decorateRequest('party', null as unknown as Party)
  app.decorateRequest('vouched', null as unknown as Vouched)
  app.addHook('onRequest', async (request) => {
    if (request.routeOptions.config.open !== true) await identify(request, aggregator)
  })
  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'none'
    aggregator.metrics.requests.inc({ route, status: reply.statusCode })
  })
  app.setErrorHandler((thrown, request, reply) => refuse(thrown, request, reply, aggregator))
  app.setNotFoundHandler({ preHandler: [] }, (request) => {
    throw new HepwrapError('HW_NOT_FOUND', `there is no ${request.method} ${quote(request.url)}`)
  })
  app.server.on(
    'checkExpectation',
    (_request: unknown, { socket }: { socket?: { destroy(): void } }) => socket?.destroy(),
  )
  app.register(openRoutes(aggregator))
  app.register(ingestRoutes(aggregator))
  app.register(readRoutes(aggregator))
  app.register(sessionRoutes(aggregator))
  return app
}

async function identify(request: FastifyRequest, aggregator: Aggregator): Promise<void> {
  const { headers, method, raw } = request
  const cookie = sessionCookie(headers.cookie)
  // A cookie is good for looking, never for sending: no other site's page can make a browser do anything here.
  if (headers.authorization === undefined && method === 'GET' && cookie !== undefined) {
    const party = aggregator.sessions.partyOf(cookie)
    if (party === undefined)
      throw new HepwrapError('HW_CREDENTIAL_EXPIRED', 'the session is over; ask for a new link')
    request.party = party
    return
  }
  const target = raw.url ?? ''
  const vouched = await aggregator.verifier.verify({
    method,
    target,
    authorization: headers.authorization,
  })
  if (request.routeOptions.config.body !== 'own') vouched.checkBody(NO_BODY)
  request.vouched = vouched
  request.party = await aggregator.partyOf(vouched.sender)
}

function sessionCookie(header: string | undefined): string | undefined {
  const found = header?.split('; ').find((part) => part.startsWith(`${SESSION_COOKIE}=`))
  return found?.slice(SESSION_COOKIE.length + 1)
}

function refuse(
  thrown: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  aggregator: Aggregator,
): FastifyReply {
  const error = translate(thrown)
  aggregator.noteRefusal(error, request)
  const status = error.statusCode
  if (status === 401) void reply.header('www-authenticate', aggregator.scheme)
  if (status === 503) void reply.header('retry-after', retryAfterSeconds(error))
  // What cannot be skipped is not waited for.
  if (error.code === 'HW_LENGTH_REQUIRED' || error.code === 'HW_BATCH_TOO_LARGE')
    void reply.header('connection', 'close')
  return reply.code(status).type('application/json').send(replyOf(error))
}
