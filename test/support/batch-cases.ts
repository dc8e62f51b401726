// Batches as they should not be, as cases for both databases: repeated, reordered, cut off, too large, malformed, half sent, slow; and what the log says of each.
import { createConnection, type Socket } from 'node:net'
import { randomBytes } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { MAX_BATCH_BYTES, MAX_BATCH_RECORDS, type BatchLine } from '../../src/wire/ingest-api.js'
import type { UsageRecord } from '../../src/wire/usage-api.js'
import { batchPath, ndjson, newLedgerId, usageRecord } from './usage-record.js'
import {
  askAs,
  credentialOf,
  startAggregator,
  stopAggregators,
  type Aggregator,
} from '../world/aggregator.js'
import { eventually } from '../world/eventually.js'

export function describeBatches(store: 'sqlite' | 'postgres'): void {
  let aggregator: Aggregator
  let ledger: string

  beforeAll(async () => {
    aggregator = await startAggregator({ store, config: { server: { request_timeout_s: 2 } } })
  })
  beforeEach(() => {
    ledger = newLedgerId()
  })
  afterAll(stopAggregators)

  const send = async (
    path: string,
    body: string | Uint8Array,
    headers = {},
  ): Promise<Record<string, unknown>> => {
    const reply = await askAs('root', aggregator, { method: 'POST', path, body, headers })
    return { status: reply.status, ...((await reply.json()) as Record<string, unknown>) }
  }
  const sendRange = (after: number, upto: number, lines: readonly BatchLine[], of = ledger) =>
    send(batchPath({ ledger: of, after, upto }), ndjson(lines))
  const refused = (status: number, code: string, message = /./) => ({
    status,
    error: { code, message: expect.stringMatching(message) as unknown },
  })
  const stored = async (job: number) => {
    const reply = await askAs('root', aggregator, { path: `/v1/records?job=${job}` })
    const lines = (await reply.text()).split('\n').filter((line) => line !== '')
    return lines.map((line) => JSON.parse(line) as UsageRecord)
  }
  /** Whether a line of the log with this text has appeared, about this ledger. */
  const logged = (text: string, about: Record<string, unknown> = { ledger }) =>
    eventually(() =>
      aggregator
        .log()
        .some(
          (line) =>
            String(line['msg']).includes(text) &&
            Object.entries(about).every(([key, value]) => line[key] === value),
        ),
    )
  const nextJob = (() => {
    let job = 1000
    return () => ++job
  })()

  describe('ACCEPTANCE 34: a record is there once', () => {
    it('when its batch is sent again, and again by a node that lost the answer', async () => {
      const job_id = nextJob()
      const lines = [1, 2, 3].map((change_seq) => usageRecord({ job_id, change_seq }))
      expect(await sendRange(0, 3, lines)).toMatchObject({ inserted: 3, acked: 3 })
      expect(await sendRange(0, 3, lines)).toMatchObject({ inserted: 0, duplicates: 3, acked: 3 })
      expect(await sendRange(2, 3, lines.slice(2))).toMatchObject({ duplicates: 1, acked: 3 })
      expect(await stored(job_id)).toHaveLength(3)
      await logged('a batch that was known already')
    })

    it('when batches come in another order: a gap is refused, and says where it begins', async () => {
      const job_id = nextJob()
      const lines = [1, 2, 3, 4].map((change_seq) => usageRecord({ job_id, change_seq }))
      await sendRange(0, 1, lines.slice(0, 1))
      const gap = await sendRange(3, 4, lines.slice(3))
      expect(gap).toMatchObject({ status: 409, error: { code: 'HW_BATCH_GAP' }, acked: 1 })
      expect(await stored(job_id)).toHaveLength(1)
      expect(await sendRange(1, 4, lines.slice(1))).toMatchObject({ inserted: 3, acked: 4 })
      expect(await stored(job_id)).toHaveLength(4)
      await logged('a gap before this batch')
    })

    it('when an old change of it comes after a newer one', async () => {
      const job_id = nextJob()
      const done = usageRecord({ job_id, change_seq: 2 })
      const running: BatchLine = { ...done, state: 'RUNNING', ended_at: null, change_seq: 1 }
      await sendRange(0, 2, [done])
      await sendRange(0, 1, [running])
      expect(await stored(job_id)).toMatchObject([{ state: 'COMPLETED', ended_at: done.ended_at }])
    })

    it('without any ledger: by its id', async () => {
      const job_id = nextJob()
      const body = ndjson([usageRecord({ job_id })])
      const path = '/v1/records'
      expect(await send(path, body)).toMatchObject({ inserted: 1, acked: null })
      expect(await send(path, body)).toMatchObject({ inserted: 0, duplicates: 1 })
      expect(await stored(job_id)).toHaveLength(1)
    })

    it('when it is corrected later, with its sums', async () => {
      const job_id = nextJob()
      const account = `corrected-${job_id}`
      const first = usageRecord({ job_id, account, change_seq: 1, cpu_user_usec: 7_000_000 })
      const corrected = { ...first, change_seq: 2, cpu_user_usec: 5_000_000 }
      await sendRange(0, 1, [first])
      expect(await sendRange(1, 2, [corrected])).toMatchObject({ changed: 1 })
      expect(await stored(job_id)).toMatchObject([{ cpu_user_usec: 5_000_000 }])
      const usage = await askAs('root', aggregator, { path: `/v1/usage?account=${account}` })
      expect(await usage.json()).toMatchObject([{ runs: 1, cpu_usec: 5_500_000 }])
      await logged('records that had ended were corrected')
    })
  })

  describe('nodes as they happen to be', () => {
    it('a node that was installed anew begins again, and its old records stay', async () => {
      const job_id = nextJob()
      const anew = newLedgerId()
      await sendRange(0, 1, [usageRecord({ job_id, change_seq: 1 })])
      expect(await sendRange(0, 1, [usageRecord({ job_id, change_seq: 1 })], anew)).toMatchObject({
        inserted: 1,
        acked: 1,
      })
      expect(await stored(job_id)).toHaveLength(2)
      await logged('it was installed anew', { ledger: anew, previous: ledger })
    })

    it('two nodes with one name are told apart, and neither loses a record', async () => {
      const job_id = nextJob()
      const other = newLedgerId()
      for (const upto of [1, 2])
        for (const of of [ledger, other])
          expect(
            await sendRange(upto - 1, upto, [usageRecord({ job_id, change_seq: upto })], of),
          ).toMatchObject({ inserted: 1, acked: upto })
      expect(await stored(job_id)).toHaveLength(4)
      await logged('two ledgers send in the name of one node', { ledger })
    })

    it('a wrong clock is taken, and told', async () => {
      const job_id = nextJob()
      const path = batchPath({ ledger, after: 0, upto: 1, sentAtMs: Date.now() - 7_200_000 })
      const line = usageRecord({ job_id, change_seq: 1, created_at: '1970-01-01T00:00:00.000Z' })
      expect(await send(path, ndjson([line]))).toMatchObject({ status: 200, inserted: 1 })
      expect(await stored(job_id)).toMatchObject([{ created_at: '1970-01-01T00:00:00.000Z' }])
      await logged('the clock of the node is behind ours', { node: 'n1', skew_s: -7200 })
    })

    it('an empty batch is an answer to "are you there, and where are we"', async () => {
      await sendRange(0, 1, [usageRecord({ change_seq: 1 })])
      expect(await sendRange(1, 1, [])).toEqual({
        status: 200,
        inserted: 0,
        changed: 0,
        duplicates: 0,
        acked: 1,
      })
      expect(await send('/v1/records', '')).toMatchObject({ status: 200, acked: null })
    })
  })

  describe('ACCEPTANCE 36: what is malformed is refused whole, with its line and why', () => {
    const bad: readonly (readonly [string, () => string | Buffer, number, string, RegExp])[] = [
      [
        'not JSON',
        () => `${ndjson([usageRecord()])}{"id":`,
        400,
        'HW_BATCH_INVALID',
        /^line 2: not JSON/,
      ],
      ['binary', () => randomBytes(512), 400, 'HW_BATCH_INVALID', /^line 1: not JSON/],
      ['a list', () => '[]\n', 400, 'HW_BATCH_INVALID', /^line 1: not a record/],
      [
        'another type',
        () => ndjson([{ ...usageRecord(), uid: '0' }]),
        400,
        'HW_BATCH_INVALID',
        /^line 1: uid must be .*"0"/,
      ],
      [
        'too many records',
        () => ndjson([usageRecord()]).repeat(MAX_BATCH_RECORDS + 1),
        413,
        'HW_BATCH_TOO_LARGE',
        /more than 10000 records/,
      ],
    ]
    it.each(bad)('%s', async (_what, body, status, code, message) => {
      expect(await send('/v1/records', body())).toMatchObject(refused(status, code, message))
      await logged('a batch was refused', { code })
    })

    it.each([
      [
        'ledger without a range',
        '/v1/records?ledger=00000000000000000000000000000000',
        /names all of/,
      ],
      [
        'a range turned round',
        batchPath({ ledger: '0'.repeat(32), after: 2, upto: 1 }),
        /after 2 is behind/,
      ],
      ['a ledger that is none', batchPath({ ledger: 'x', after: 0, upto: 1 }), /^ledger "x"/],
      ['a word nobody knows', '/v1/records?uid=0', /there is no filter "uid"/],
      ['a cluster without a node', '/v1/records?cluster=hepp', /named together/],
    ])('%s', async (_what, path, message) => {
      expect(await send(path, '')).toMatchObject(refused(400, 'HW_REQUEST_INVALID', message))
    })

    it('gzip that is none, is cut off, or is a bomb', async () => {
      const headers = { 'content-encoding': 'gzip' }
      const whole = gzipSync(ndjson([usageRecord()]))
      const bomb = gzipSync(Buffer.alloc(MAX_BATCH_BYTES * 8))
      expect(await send('/v1/records', 'plain', headers)).toMatchObject(
        refused(400, 'HW_BATCH_INVALID'),
      )
      expect(await send('/v1/records', whole.subarray(0, -10), headers)).toMatchObject(
        refused(400, 'HW_BATCH_INVALID', /cut off/),
      )
      expect(await send('/v1/records', bomb, headers)).toMatchObject(
        refused(413, 'HW_BATCH_TOO_LARGE'),
      )
      expect(await send('/v1/records', whole, { 'content-encoding': 'br' })).toMatchObject(
        refused(400, 'HW_REQUEST_INVALID'),
      )
      expect(await send('/v1/records', whole, headers)).toMatchObject({ status: 200, inserted: 1 })
    })

    it('bad filters of questions', async () => {
      for (const [path, message] of [
        ['/v1/records?state=DONE', /unknown state "DONE"/],
        ['/v1/records?since=yesterday', /since "yesterday" is not a time/],
        ['/v1/usage?by=userr', /by "userr"/],
        ['/v1/usage?top=0', /top 0/],
        ['/v1/nodes?nod=n1', /there is no filter "nod"/],
      ] as const) {
        const reply = await askAs('alice', aggregator, { path })
        expect({ status: reply.status, ...((await reply.json()) as object) }).toMatchObject(
          refused(400, 'HW_OPTION_INVALID', message),
        )
      }
    })
  })

  describe('ACCEPTANCE 36: bodies that do not arrive', () => {
    /** A connection that sends the head of a batch, and of its body what the test gives. */
    async function begin(path: string, body: string | Buffer, length: string): Promise<Socket> {
      const authorization = await credentialOf('root', 'POST', path, body)
      const { port } = new URL(aggregator.url)
      const socket = createConnection(Number(port), '127.0.0.1')
      await new Promise((resolve) => socket.once('connect', resolve))
      socket.write(
        `POST ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization}\r\n${length}\r\n\r\n`,
      )
      return socket
    }
    const answer = (socket: Socket) =>
      new Promise<string>((resolve) => {
        let text = ''
        socket.on('data', (chunk) => {
          text += String(chunk)
        })
        socket.on('close', () => resolve(text))
        socket.on('error', () => resolve(text))
      })
    const inFlight = async () => {
      const text = await (await fetch(`${aggregator.url}/metrics`)).text()
      return Number(/^hepwrap_aggregator_bytes_in_flight (\d+)$/m.exec(text)?.[1])
    }

    it('without a length, or with one beyond all measure, are not read', async () => {
      const chunked = answer(await begin('/v1/records', '', 'Transfer-Encoding: chunked'))
      expect(await chunked).toMatch(/^HTTP\/1.1 411 [^]*HW_LENGTH_REQUIRED/)
      const huge = answer(await begin('/v1/records', '', 'Content-Length: 99999999999'))
      expect(await huge).toMatch(/^HTTP\/1.1 413 [^]*HW_BATCH_TOO_LARGE/)
    })

    it('half sent and left, leave nothing behind', async () => {
      const job_id = nextJob()
      const body = ndjson([usageRecord({ job_id }), usageRecord({ job_id })])
      const socket = await begin('/v1/records', body, `Content-Length: ${body.length}`)
      socket.write(body.slice(0, body.length - 5))
      await eventually(async () => (await inFlight()) === body.length)
      socket.destroy()
      await eventually(async () => (await inFlight()) === 0)
      expect(await stored(job_id)).toEqual([])
      await logged('a batch was refused', { code: 'HW_REQUEST_INVALID' })
    })

    it('very slow, are cut off in time, and hold up nobody', async () => {
      const job_id = nextJob()
      const body = ndjson([usageRecord({ job_id })])
      const slow = await begin('/v1/records', body, `Content-Length: ${body.length}`)
      const ended = answer(slow)
      const drip = setInterval(() => slow.writable && slow.write(' '), 100)
      expect(await send('/v1/records', ndjson([usageRecord()]))).toMatchObject({ inserted: 1 })
      await ended
      clearInterval(drip)
      expect(await stored(job_id)).toEqual([])
      await eventually(async () => (await inFlight()) === 0)
    })

    it('of one sender, take no more room than his share', async () => {
      const length = MAX_BATCH_BYTES
      const open: Socket[] = []
      for (let count = 0; count < 3; count++)
        open.push(await begin('/v1/records', '', `Content-Length: ${length}`))
      const refusals = open.map(
        (socket) =>
          new Promise<string>((resolve, reject) => {
            socket.once('data', (chunk) => {
              const text = String(chunk)
              if (text.startsWith('HTTP/1.1 503 ')) resolve(text)
              else reject(new Error(text))
            })
          }),
      )
      expect(await Promise.any(refusals)).toMatch(/retry-after: [1-5]\r\n[^]*HW_AGGREGATOR_BUSY/i)
      open.forEach((socket) => socket.destroy())
      await eventually(async () => (await inFlight()) === 0)
    })
  })

  it('tells Prometheus of all that', async () => {
    const text = await (await fetch(`${aggregator.url}/metrics`)).text()
    const value = (line: string) =>
      Number(
        text
          .split('\n')
          .find((one) => one.startsWith(`${line} `))
          ?.split(' ')
          .at(-1),
      )
    for (const outcome of ['applied', 'duplicate', 'gap', 'invalid', 'too_large', 'busy'])
      expect(value(`hepwrap_aggregator_batches_total{outcome="${outcome}"}`)).toBeGreaterThan(0)
    expect(value('hepwrap_aggregator_refusals_total{code="HW_BATCH_INVALID"}')).toBeGreaterThan(0)
    expect(value('hepwrap_aggregator_nodes{seen="5m"}')).toBe(1)
    expect(value('hepwrap_aggregator_store_up')).toBe(1)
  })
}
