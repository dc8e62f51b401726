// A node as the aggregator sees it: a ledger whose changes are sent in ranges, again and again until they are acknowledged.
import { refusalOf, isOk } from '../../src/upstream/refusal.js'
import type { Upstream } from '../../src/upstream/upstream.js'
import type { BatchLine, BatchReply } from '../../src/wire/ingest-api.js'
import { batchPath, ndjson, newLedgerId } from './usage-record.js'

export interface SimulatedNode {
  readonly node: string
  /** A new record, or a change of one; answers its number. */
  write(record: BatchLine): number
  readonly acked: () => number
  readonly attempts: () => number
  /** Sends until all is acknowledged. */
  drain(): Promise<void>
}

export interface NodeOptions {
  readonly node: string
  readonly upstream: Upstream
  readonly batchRecords: number
  readonly gzip?: boolean
  /** called after each failed attempt with its reason code and Retry-After; resolves when to try again */
  readonly wait: (code: string, retryAfterMs: number | undefined) => Promise<void>
}

export function simulatedNode(options: NodeOptions): SimulatedNode {
  const { node, upstream, batchRecords, gzip = false, wait } = options
  const ledger = newLedgerId()
  const changes: BatchLine[] = []
  let acked = 0
  let attempts = 0

  const sendNext = async () => {
    const upto = Math.min(changes.length, acked + batchRecords)
    const path = batchPath({ node, ledger, after: acked, upto })
    const body = ndjson(changes.slice(acked, upto))
    attempts++
    const reply = await upstream.request({ method: 'POST', path, body, gzip, timeoutMs: 30_000 })
    if (isOk(reply)) {
      acked = (JSON.parse(await reply.text()) as BatchReply).acked ?? acked
      return
    }
    const refusal = await refusalOf(reply)
    if (refusal.acked !== undefined) acked = refusal.acked
    else await wait(refusal.error.code, refusal.retryAfterMs)
  }
  return {
    node,
    acked: () => acked,
    attempts: () => attempts,
    write: (record) => {
      changes.push({ ...record, change_seq: changes.length + 1 })
      return changes.length
    },
    drain: async () => {
      while (acked < changes.length) {
        try {
          await sendNext()
        } catch (error) {
          await wait((error as { code?: string }).code ?? String(error), undefined)
        }
      }
    },
  }
}
