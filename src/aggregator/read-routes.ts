// What people ask: records, sums, nodes, and who they are. Each sees his own, operators see all.
import { Readable } from 'node:stream'
import type { FastifyPluginAsync } from 'fastify'
import { Type } from '@sinclair/typebox'
import type { Cursor, RecordsPage } from '../store/store.js'
import { SiteRecordsQuery, UsageQuery } from '../wire/report-api.js'
import type { UsageRecord } from '../wire/usage-api.js'
import type { Aggregator } from './compose.js'
import { scopeOf } from './party.js'
import { checkedQuery, nodesFilter, recordsFilter, usageQuestion } from './query.js'

declare module 'fastify' {
  interface FastifyRequest {
    /** What the store was asked last for this request. */
    asked: Promise<unknown> | null
  }
}

const PAGE_RECORDS = 1000

const Name = Type.Optional(Type.String({ minLength: 1, maxLength: 8192 }))
const NodesQuery = Type.Object({ cluster: Name, node: Name }, { additionalProperties: false })

export const readRoutes =
  ({ store, readers }: Aggregator): FastifyPluginAsync =>
  async (app) => {
    app.decorateRequest('asked', null)
    app.addHook('onRequest', async (request, reply) => {
      const leave = readers.enter(request.party.label)
      // Who hangs up has left a question to the store, which counts until it is answered.
      reply.raw.once('close', () => void Promise.allSettled([request.asked]).then(leave))
    })

    app.get('/v1/records', async (request, reply) => {
      const { query, party } = request
      const scope = scopeOf(party)
      const asked = checkedQuery(SiteRecordsQuery, query, 'HW_OPTION_INVALID')
      const filter = recordsFilter(asked)
      const after = asked.cursor
      const limit = asked.limit ?? PAGE_RECORDS
      // Asked before the reply begins: a store that is down is said by the status.
      const ask = (page: { after: Cursor | undefined; limit: number }) =>
        (request.asked = store.records(filter, scope, page))
      const first = await ask({ after, limit })
      void reply.type('application/x-ndjson').header('cache-control', 'no-store')
      if (asked.limit === undefined)
        return reply.send(
          Readable.from(pages(first, (next) => ask({ after: next, limit: PAGE_RECORDS }))),
        )
      if (first.next !== undefined) void reply.header('hepwrap-next-cursor', first.next)
      return reply.send(Readable.from(slices(first.records)))
    })

    app.get('/v1/usage', async (request, reply) => {
      const { query, party } = request
      const scope = scopeOf(party)
      const asked = checkedQuery(UsageQuery, query, 'HW_OPTION_INVALID')
      void reply.header('cache-control', 'no-store')
      return (request.asked = store.usage(usageQuestion(asked), scope))
    })

    app.get('/v1/nodes', async (request, reply) => {
      const { query, party } = request
      scopeOf(party)
      const asked = checkedQuery(NodesQuery, query, 'HW_OPTION_INVALID')
      void reply.header('cache-control', 'no-store')
      return (request.asked = store.facts(nodesFilter(asked)))
    })

    app.get('/v1/whoami', async ({ party }, reply) => {
      void reply.header('cache-control', 'no-store')
      return { user: party.user, uid: party.uid ?? null, operator: party.isOperator }
    })
  }

/** One page in memory; the next is asked for when the reader has taken it. */
async function* pages(
  first: RecordsPage,
  ask: (after: Cursor) => Promise<RecordsPage>,
): AsyncIterable<string> {
  let page = first
  for (;;) {
    yield* slices(page.records)
    if (page.next === undefined) return
    page = await ask(page.next)
  }
}

const SLICE_RECORDS = 100

function* slices(records: readonly UsageRecord[]): Iterable<string> {
  for (let at = 0; at < records.length; at += SLICE_RECORDS)
    yield records
      .slice(at, at + SLICE_RECORDS)
      .map((record) => `${JSON.stringify(record)}\n`)
      .join('')
}
