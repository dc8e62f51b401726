// Refused requests: counted each, and said once in a while of each sender and reason.
import type { FastifyRequest } from 'fastify'
import type { Clock } from '../base/clock.js'
import { quote, type HepwrapError } from '../base/errors.js'
import type { Logger } from '../base/log.js'
import { onceInAWhile } from '../base/once-in-a-while.js'
import type { BatchEnd, Metrics } from './metrics.js'

const SAID_EVERY_MS = 10_000

const ENDS: Readonly<Record<string, BatchEnd>> = {
  HW_BATCH_INVALID: 'invalid',
  HW_BATCH_TOO_LARGE: 'too_large',
  HW_AGGREGATOR_BUSY: 'busy',
  HW_STORE_UNAVAILABLE: 'store_error',
}

export function createRefusalNotes(clock: Clock, log: Logger, metrics: Metrics) {
  const isTime = onceInAWhile(clock, SAID_EVERY_MS)

  return (error: HepwrapError, request: FastifyRequest): void => {
    const { code, message, statusCode } = error
    metrics.refusals.inc({ code })
    const route = `${request.method} ${request.routeOptions.url ?? ''}`
    const isBatch = route === 'POST /v1/records'
    if (isBatch) metrics.batches.inc({ outcome: ENDS[code] ?? 'refused' })
    // Of an open route, and where it was the credential that failed, nobody.
    const party = request.party as FastifyRequest['party'] | null
    const from = request.socket.remoteAddress
    const by = party?.label
    if (!isTime(`${code} ${by ?? from ?? ''}`)) return
    const line = { code, route, by, from, ...(isBatch && batchFacts(error, request)) }
    if (code === 'HW_INTERNAL') log.error({ ...line, err: error }, 'a request failed')
    else if (statusCode === 404) log.debug({ ...line, reason: message }, 'refused')
    else log.warn({ ...line, reason: message }, isBatch ? 'a batch was refused' : 'refused')
  }
}

/** What was asked, and what the database said of it, if it was the database. */
const batchFacts = ({ cause }: HepwrapError, { url }: FastifyRequest) => ({
  target: quote(url),
  cause: cause instanceof Error ? quote(cause.message) : undefined,
})
