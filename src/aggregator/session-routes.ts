// A link for a browser: who has proven himself by a credential gets a code that a cookie is given for, once.
import type { FastifyPluginAsync } from 'fastify'
import type { Aggregator } from './compose.js'
import { scopeOf } from './party.js'

export const sessionRoutes =
  ({ sessions, log }: Aggregator): FastifyPluginAsync =>
  async (app) => {
    app.post('/v1/sessions', async ({ party }, reply) => {
      scopeOf(party)
      const code = sessions.offer(party)
      log.info({ by: party.label }, 'a link for a browser')
      // A path: by which name and scheme we are reached, a proxy knows and we do not.
      return reply
        .code(201)
        .header('cache-control', 'no-store')
        .send({ url: `/session?code=${code}` })
    })
  }
