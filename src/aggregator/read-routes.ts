// What people ask: records, sums, nodes, and who they are. Each sees his own, operators see all.
import { Readable } from 'node:stream'
import type { FastifyPluginAsync } from 'fastify'
import { Type } from '@sinclair/typebox'
import type { RecordsFilter, RecordsPage, Store, StoreScope } from '../store/store.js'
import { SiteRecordsQuery, UsageQuery } from '../wire/report-api.js'
import type { UsageRecord } from '../wire/usage-api.js'
import type { Aggregator } from './compose.js'
import { scopeOf } from './party.js'
import { checkedQuery, nodesFilter, recordsFilter, usageQuestion } from './query.js'

const PAGE_RECORDS = 1000

const Name = Type.Optional(Type.String({ minLength: 1, maxLength: 1024 }))
const NodesQuery = Type.Object({ cluster: Name, node: Name }, { additionalProperties: false })

export const readRoutes =
  ({ store, readers }: Aggregator): FastifyPluginAsync =>
  async (app) => {
    app.addHook('onRequest', async ({ party }, reply) => {
      const leave = readers.enter(party.label)
      reply.raw.once('close', leave)
    })

    app.get('/v1/records', async ({ query, party }, reply) => {
      const scope = scopeOf(party)
      const asked = checkedQuery(SiteRecordsQuery, query, 'HW_OPTION_INVALID')
      const filter = recordsFilter(asked)
      const after = asked.cursor
      const limit = asked.limit ?? PAGE_RECORDS
      // Asked before the reply begins: a store that is down is said by the status.
      const first = await store.records(filter, scope, { after, limit })
      void reply.type('application/x-ndjson').header('cache-control', 'no-store')
      if (asked.limit === undefined)
        return reply.send(Readable.from(pages(store, filter, scope, first)))
      if (first.next !== undefined) void reply.header('hepwrap-next-cursor', first.next)
      return reply.send(lines(first.records))
    })

    app.get('/v1/usage', async ({ query, party }, reply) => {
      const scope = scopeOf(party)
      const asked = checkedQuery(UsageQuery, query, 'HW_OPTION_INVALID')
      void reply.header('cache-control', 'no-store')
      return store.usage(usageQuestion(asked), scope)
    })

    app.get('/v1/nodes', async ({ query, party }, reply) => {
      scopeOf(party)
      const asked = checkedQuery(NodesQuery, query, 'HW_OPTION_INVALID')
      void reply.header('cache-control', 'no-store')
      return store.facts(nodesFilter(asked))
    })

    app.get('/v1/whoami', async ({ party }, reply) => {
      void reply.header('cache-control', 'no-store')
      return { user: party.user, uid: party.uid ?? null, operator: party.isOperator }
    })
  }

/** One page in memory; the next is asked for when the reader has taken it. */
async function* pages(
  store: Store,
  filter: RecordsFilter,
  scope: StoreScope,
  first: RecordsPage,
): AsyncIterable<string> {
  let page = first
  for (;;) {
    if (page.records.length > 0) yield lines(page.records)
    if (page.next === undefined) return
    page = await store.records(filter, scope, { after: page.next, limit: PAGE_RECORDS })
  }
}

const lines = (records: readonly UsageRecord[]): string =>
  records.map((record) => `${JSON.stringify(record)}\n`).join('')
