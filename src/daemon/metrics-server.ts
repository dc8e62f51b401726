// GET /metrics for Prometheus, on an address of its own: no part of the socket that users have, and off unless it is configured.
// Nobody proves who he is here, so that there is one page, its numbers name nobody, and connections are few and short.
import Fastify, { type FastifyInstance } from 'fastify'
import type { Daemon } from './compose.js'
import { replyOf, translate } from './error-reply.js'

const MAX_CONNECTIONS = 32
const MOST_MS = 5000

/** Undefined where none is configured, or it cannot listen: no run is refused for want of metrics. */
export async function serveMetrics(daemon: Daemon): Promise<FastifyInstance | undefined> {
  const { config, log } = daemon
  const { listen } = config.metrics
  if (listen === '') return undefined
  const app = buildMetricsServer(daemon)
  try {
    const at = listen.lastIndexOf(':')
    const host = listen.slice(0, at).replace(/^\[|\]$/g, '')
    await app.listen({ host, port: Number(listen.slice(at + 1)) })
    log.info({ listen }, 'metrics are served')
    return app
  } catch (error) {
    log.error({ err: error, listen }, 'metrics cannot be served')
    return undefined
  }
}

export function buildMetricsServer({ meters }: Pick<Daemon, 'meters'>): FastifyInstance {
  const app = Fastify({
    bodyLimit: 1024,
    requestTimeout: MOST_MS,
    keepAliveTimeout: MOST_MS,
    http: { headersTimeout: MOST_MS, connectionsCheckingInterval: 500, maxHeaderSize: 4096 },
  })
  app.server.maxConnections = MAX_CONNECTIONS
  app.get('/metrics', async (_request, reply) =>
    reply.type(meters.contentType).send(await meters.render()),
  )
  app.setErrorHandler((thrown, _request, reply) => {
    const error = translate(thrown)
    return reply.code(error.statusCode).send(replyOf(error))
  })
  return app
}
