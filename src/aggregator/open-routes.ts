// What anybody may ask: is it well, its metrics, the page, and the way from a one-time link to a cookie.
import type { FastifyPluginAsync, FastifyReply } from 'fastify'
import type { Aggregator } from './compose.js'
import { SESSION_SECONDS } from './sessions.js'

export const SESSION_COOKIE = 'hepwrap_session'

const SECURITY_HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
}

export const openRoutes =
  ({ isWell, metrics, page, sessions, config }: Aggregator): FastifyPluginAsync =>
  async (app) => {
    const isOpen = { config: { open: true } } as const

    app.get('/healthz', isOpen, async (_request, reply) => {
      const well = await isWell()
      return reply.code(well ? 200 : 503).send({ status: well ? 'ok' : 'store unavailable' })
    })

    app.get('/metrics', isOpen, async (_request, reply) =>
      reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
    )

    app.get<{ Querystring: { code?: unknown } }>('/session', isOpen, async ({ query }, reply) => {
      const cookie = typeof query.code === 'string' ? sessions.redeem(query.code) : undefined
      if (cookie !== undefined) {
        const secure = config.server.tls_cert === '' ? '' : '; Secure'
        void reply.header(
          'set-cookie',
          `${SESSION_COOKIE}=${cookie}; Path=/; Max-Age=${SESSION_SECONDS}; HttpOnly; SameSite=Strict${secure}`,
        )
      }
      return secured(reply).header('cache-control', 'no-store').redirect('/', 303)
    })

    for (const [path, { type, etag, content }] of page) {
      app.get(path, isOpen, async ({ headers }, reply) => {
        void secured(reply).header('cache-control', 'no-cache').header('etag', etag)
        if (headers['if-none-match'] === etag) return reply.code(304).send()
        return reply.type(type).send(content)
      })
    }
  }

const secured = (reply: FastifyReply): FastifyReply => reply.headers(SECURITY_HEADERS)
