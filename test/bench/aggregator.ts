// The aggregator's figures: records a second through the real service, beside bare inserts of the same rows; and five
// thousand nodes that come back after a day's outage, all at once.
import { setTimeout as delay } from 'node:timers/promises'
import { mkdtempSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { openForWriting } from '../../src/store/sqlite/database.js'
import { STORED_COLUMNS, toStored } from '../../src/store/stored-row.js'
import { isOk, refusalOf } from '../../src/upstream/refusal.js'
import { openUpstream, type Upstream } from '../../src/upstream/upstream.js'
import type { BatchLine, BatchReply } from '../../src/wire/ingest-api.js'
import { RECORD_FIELDS } from '../../src/wire/record-fields.js'
import { batchPath, ndjson, newLedgerId, usageRecord } from '../support/usage-record.js'
import { askAs, startAggregator, type Aggregator } from '../world/aggregator.js'

const number = (name: string, fallback: number) =>
  Number(process.env[`HEPWRAP_BENCH_${name}`] ?? fallback)
const RECORDS = number('RECORDS', 100_000)
const BATCH = number('BATCH', 1000)
const SENDERS = number('SENDERS', 8)
const NODES = number('NODES', 5000)
const BATCHES_A_NODE = number('BATCHES_A_NODE', 4)
const OUTAGE_BATCH = number('OUTAGE_BATCH', 25)

async function main(): Promise<void> {
  const [indexed, plain] = [bareIndexed(), barePlain()]
  const service = await ingest()
  const bare = `bare better-sqlite3, ${BATCH} rows a transaction`
  console.log(`${bare}, the store's table   ${rate(indexed)}`)
  console.log(`${bare}, ids alone indexed   ${rate(plain)}`)
  console.log(
    `through the service, ${SENDERS} nodes, ${BATCH} a batch   ${rate(service)}: ` +
      `${(service / indexed).toFixed(2)} and ${(service / plain).toFixed(2)} of bare`,
  )
  await outage()
}

const rate = (perSecond: number) => `${Math.round(perSecond).toLocaleString('en')} records/s`

/** A day as a node has it: records that differ as a site's do. */
function dayOf(node: string, from: number, count: number): BatchLine[] {
  return Array.from({ length: count }, (_, index) => {
    const at = from + index
    const startMs = Date.UTC(2026, 10, 19) + ((at * 7919 * 1000) % 80_000_000)
    return usageRecord({
      node,
      job_id: 1_000_000 + at,
      user: `user${at % 200}`,
      uid: 10_000 + (at % 200),
      account: `account${at % 60}`,
      image: `registry.example/image${at % 300}:1`,
      created_at: new Date(startMs).toISOString(),
      started_at: new Date(startMs + 1000).toISOString(),
      ended_at: new Date(startMs + 3_000_000).toISOString(),
      change_seq: at + 1,
    })
  })
}

/** The same rows by better-sqlite3 alone; `open` gives a database with a table `records` of these columns. */
function bareInserts(
  open: (path: string) => Database.Database,
  columns: readonly string[],
  toRow: (record: BatchLine) => readonly unknown[],
): number {
  const db = open(join(mkdtempSync('/srv/bare-'), 'bare.db'))
  const insert = db.prepare(
    `INSERT INTO records (${columns.map((column) => `"${column}"`).join(', ')}) VALUES (${columns.map(() => '?').join(', ')})`,
  )
  const rows = dayOf('n1', 0, RECORDS).map(toRow)
  const write = db.transaction((part: readonly (readonly unknown[])[]) =>
    part.forEach((row) => insert.run(row)),
  )
  const began = performance.now()
  for (let at = 0; at < rows.length; at += BATCH) write(rows.slice(at, at + BATCH))
  const seconds = (performance.now() - began) / 1000
  db.close()
  return RECORDS / seconds
}

/** Into a table that knows ids alone. */
const barePlain = () =>
  bareInserts(
    (path) => {
      const db = new Database(path)
      db.pragma('journal_mode = WAL')
      db.pragma('synchronous = FULL')
      const columns = RECORD_FIELDS.map((field) => `"${field}"`).join(', ')
      db.exec(`CREATE TABLE records (seq INTEGER PRIMARY KEY, ${columns}, UNIQUE (id))`)
      return db
    },
    RECORD_FIELDS,
    (record) =>
      RECORD_FIELDS.map((field) =>
        field === 'labels' ? JSON.stringify(record.labels) : record[field],
      ),
  )

/** Into the store's own table, by which records are found again: with its indexes. */
const bareIndexed = () =>
  bareInserts(openForWriting, [...STORED_COLUMNS, 'ledger'], (record) => [
    ...toStored(record, record.change_seq ?? 0),
    1,
  ])

async function ingest(): Promise<number> {
  const aggregator = await startAggregator({ config: ANY_NODE })
  const each = Math.ceil(RECORDS / SENDERS / BATCH)
  // Made before the clock runs: it is the service that is measured.
  const loads = Array.from({ length: SENDERS }, (_, sender) =>
    Array.from({ length: each }, (_none, index) =>
      ndjson(dayOf(`n${sender}`, index * BATCH, BATCH)),
    ),
  )
  const began = performance.now()
  await Promise.all(
    loads.map(async (bodies, sender) => {
      const upstream = openUpstream({ url: aggregator.url, auth: 'munge' })
      const ledger = newLedgerId()
      for (const [index, body] of bodies.entries())
        await sendUntilTaken(
          upstream,
          batchPath({
            node: `n${sender}`,
            ledger,
            after: index * BATCH,
            upto: (index + 1) * BATCH,
          }),
          () => body,
          () => undefined,
        )
      upstream.close()
    }),
  )
  const seconds = (performance.now() - began) / 1000
  await expectRuns(aggregator, SENDERS * each * BATCH)
  await aggregator.stop()
  return (SENDERS * each * BATCH) / seconds
}

const ANY_NODE = { auth: { node_address: 'any' }, server: { log_level: 'info' } }

async function outage(): Promise<void> {
  const aggregator = await startAggregator({ config: ANY_NODE })
  const refusals = new Map<string, number>()
  const note = (code: string) => refusals.set(code, (refusals.get(code) ?? 0) + 1)
  const began = performance.now()
  await Promise.all(
    Array.from({ length: NODES }, async (_, index) => {
      const node = `w${index}`
      const upstream = openUpstream({ url: aggregator.url, auth: 'munge' })
      const ledger = newLedgerId()
      for (let batch = 0; batch < BATCHES_A_NODE; batch++) {
        const after = batch * OUTAGE_BATCH
        const path = batchPath({ node, ledger, after, upto: after + OUTAGE_BATCH })
        await sendUntilTaken(upstream, path, () => ndjson(dayOf(node, after, OUTAGE_BATCH)), note)
      }
      upstream.close()
    }),
  )
  const seconds = (performance.now() - began) / 1000
  const total = NODES * BATCHES_A_NODE * OUTAGE_BATCH
  await expectRuns(aggregator, total)
  const retries = [...refusals.values()].reduce((sum, count) => sum + count, 0)
  console.log(
    `${NODES} nodes after a day's outage, ${BATCHES_A_NODE} batches of ${OUTAGE_BATCH} each: ${seconds.toFixed(1)} s, ${rate(total / seconds)}, ` +
      `${retries} retries ${JSON.stringify(Object.fromEntries(refusals))}, peak RSS of the aggregator ${Math.round(peakOf(aggregator.pid) / 1024)} MB, none lost`,
  )
  await aggregator.stop()
}

/** As the forwarder does: again after Retry-After, or a moment that is drawn. */
async function sendUntilTaken(
  upstream: Upstream,
  path: string,
  body: () => string,
  note: (code: string) => void,
): Promise<void> {
  for (;;) {
    try {
      const request = { method: 'POST', path, body: body(), gzip: true, timeoutMs: 60_000 } as const
      const reply = await upstream.request(request)
      if (isOk(reply)) {
        JSON.parse(await reply.text()) as BatchReply
        return
      }
      const { error, retryAfterMs = 1000 } = await refusalOf(reply)
      note(error.code)
      await delay(retryAfterMs + Math.random() * 1000)
    } catch (error) {
      note((error as { code?: string }).code ?? String(error))
      await delay(500 + Math.random() * 2000)
    }
  }
}

async function expectRuns(aggregator: Aggregator, wanted: number): Promise<void> {
  const reply = await askAs('root', aggregator, { path: '/v1/usage' })
  const [row] = (await reply.json()) as { runs: number }[]
  if (row?.runs !== wanted) throw new Error(`${row?.runs ?? 0} records, not ${wanted}`)
}

const peakOf = (pid: number) =>
  Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])

await main()
