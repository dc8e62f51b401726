// What nodes send: records and facts.
import type { FastifyPluginAsync } from 'fastify'
import { Value } from '@sinclair/typebox/value'
import { HepwrapError, quote } from '../base/errors.js'
import { NodeFacts } from '../wire/ingest-api.js'
import { announcedLength, readBody, unpacked } from './body.js'
import type { Aggregator } from './compose.js'
import { ingestBatch } from './ingest.js'

const MAX_FACTS_BYTES = 64 * 1024

export const ingestRoutes =
  (aggregator: Aggregator): FastifyPluginAsync =>
  async (app) => {
    app.post('/v1/records', { config: { body: 'own' } }, async (request, reply) => {
      const { raw, query, vouched, party } = request
      const answer = await ingestBatch({ raw, query, vouched, party }, aggregator)
      if (!('gap' in answer)) return answer
      const message = `records after ${answer.gap} have not arrived yet`
      return reply.code(409).send({ error: { code: 'HW_BATCH_GAP', message }, acked: answer.gap })
    })

    app.put<{ Params: { cluster: string; node: string } }>(
      '/v1/nodes/:cluster/:node/facts',
      { config: { body: 'own' } },
      async ({ raw, params, party, vouched }, reply) => {
        await party.mayWriteFor(params)
        const body = await readBody(raw, announcedLength(raw, MAX_FACTS_BYTES))
        vouched.checkBody(body)
        const text = await unpacked(body, raw.headers['content-encoding'], MAX_FACTS_BYTES)
        const { cluster, node } = params
        await aggregator.store.putFacts({ ...parseFacts(text.toString('utf8')), cluster, node })
        aggregator.log.info({ cluster, node, by: party.label }, 'facts of a node')
        return reply.code(204).send()
      },
    )
  }

const FACTS = Object.keys(NodeFacts.properties)

/** What we know of them: those of a newer node are nothing to us. */
function parseFacts(text: string): NodeFacts {
  const given = parseObject(text)
  const facts: unknown = Object.fromEntries(FACTS.map((name) => [name, given[name] ?? null]))
  if (!Value.Check(NodeFacts, facts)) {
    const first = Value.Errors(NodeFacts, facts).First()
    throw new HepwrapError(
      'HW_REQUEST_INVALID',
      `facts: ${first?.path.slice(1) ?? ''}: ${first?.message ?? 'malformed'} (${quote(String(first?.value), 80)})`,
    )
  }
  if (Number.isNaN(Date.parse(facts.since)))
    throw new HepwrapError('HW_REQUEST_INVALID', `facts: since ${quote(facts.since)} is not a time`)
  return facts
}

function parseObject(text: string): Readonly<Record<string, unknown>> {
  try {
    const parsed: unknown = JSON.parse(text)
    if (typeof parsed === 'object' && parsed !== null) return parsed as Record<string, unknown>
  } catch {
    // said below
  }
  throw new HepwrapError('HW_REQUEST_INVALID', `facts are a JSON object, not ${quote(text, 80)}`)
}
