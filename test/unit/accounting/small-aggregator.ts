// A small aggregator at the wire: takes batches as wire/ingest-api says, keeps them in memory, and misbehaves when it is told to.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gunzipSync } from 'node:zlib'
import type { BatchLine, NodeFacts } from '../../../src/wire/ingest-api.js'
import type { UsageRecord } from '../../../src/wire/usage-api.js'
import { openUpstream, type Upstream } from '../../../src/upstream/upstream.js'

export interface Asked {
  readonly method: string
  readonly path: string
  readonly node: string
  readonly ledger: string
  readonly after: number
  readonly upto: number
  readonly lines: readonly BatchLine[]
}

/** Answers by itself and returns true; or leaves it to the aggregator. */
export type Misbehaviour = (asked: Asked, reply: ServerResponse) => boolean

export interface SmallAggregator {
  readonly port: number
  /** What it has, by id; each as its last change says. */
  readonly records: Map<string, BatchLine>
  readonly facts: NodeFacts[]
  readonly acked: Map<string, number>
  readonly requests: Asked[]
  misbehave: Misbehaviour
  upstream(): Upstream
  /** The whole store is lost. */
  forget(): void
  close(): Promise<void>
  /** Listens again at the same port. */
  open(): Promise<void>
}

/** The line's record alone. */
export function recordOf(line: BatchLine): UsageRecord {
  const fields = Object.entries(line).filter(([name]) => name !== 'change_seq')
  return Object.fromEntries(fields) as unknown as UsageRecord
}

export async function startSmallAggregator(): Promise<SmallAggregator> {
  const server = createServer((request, reply) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => answer(aggregator, read(request, Buffer.concat(chunks)), reply))
  })
  const listen = (port: number) =>
    new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  await listen(0)
  const { port } = server.address() as AddressInfo
  const upstreams: Upstream[] = []
  const signer = { sign: async () => 'Test' }
  const aggregator: SmallAggregator = {
    port,
    records: new Map(),
    facts: [],
    acked: new Map(),
    requests: [],
    misbehave: () => false,
    upstream: () => {
      const upstream = openUpstream({ url: `http://127.0.0.1:${port}`, auth: 'token', signer })
      upstreams.push(upstream)
      return upstream
    },
    forget: () => {
      aggregator.records.clear()
      aggregator.acked.clear()
      aggregator.facts.length = 0
    },
    close: async () => {
      upstreams.forEach((upstream) => upstream.close())
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
    open: () => listen(port),
  }
  return aggregator
}

function read(request: IncomingMessage, raw: Buffer): Asked {
  const url = new URL(request.url ?? '', 'http://aggregator')
  const body = request.headers['content-encoding'] === 'gzip' ? gunzipSync(raw) : raw
  const lines = body.toString().split('\n').filter(Boolean)
  const number = (name: string) => Number(url.searchParams.get(name))
  return {
    method: request.method ?? '',
    path: url.pathname,
    node: url.searchParams.get('node') ?? '',
    ledger: url.searchParams.get('ledger') ?? '',
    after: number('after'),
    upto: number('upto'),
    lines: lines.map((line) => JSON.parse(line) as BatchLine),
  }
}

function answer(aggregator: SmallAggregator, asked: Asked, reply: ServerResponse): void {
  aggregator.requests.push(asked)
  if (aggregator.misbehave(asked, reply)) return
  if (asked.method === 'PUT') {
    aggregator.facts.push(asked.lines[0] as unknown as NodeFacts)
    sendJson(reply, 200, {})
    return
  }
  const known = aggregator.acked.get(asked.ledger) ?? 0
  if (asked.after > known) refuse(reply, 409, 'HW_BATCH_GAP', { acked: known })
  else sendJson(reply, 200, take(aggregator, asked))
}

/** Applies the batch; its reply may still be lost. */
export function take(aggregator: SmallAggregator, { ledger, upto, lines }: Asked) {
  for (const line of lines) {
    const before = aggregator.records.get(line.id)
    if ((before?.change_seq ?? -1) < (line.change_seq ?? 0)) aggregator.records.set(line.id, line)
  }
  const acked = Math.max(aggregator.acked.get(ledger) ?? 0, upto)
  aggregator.acked.set(ledger, acked)
  return { inserted: lines.length, changed: 0, duplicates: 0, acked }
}

export function sendJson(
  reply: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  reply.writeHead(status, { 'content-type': 'application/json', ...headers })
  reply.end(JSON.stringify(body))
}

export function refuse(
  reply: ServerResponse,
  status: number,
  code: string,
  { headers = {}, ...more }: { headers?: Record<string, string>; acked?: number } = {},
): true {
  sendJson(reply, status, { error: { code, message: `no (${status})` }, ...more }, headers)
  return true
}
