// The forwarder with a real ledger, over real HTTP, to an aggregator that misbehaves in each way that we could think of: what the
// ledger has arrives, once in effect, and the log says what was wrong.
import type { ServerResponse } from 'node:http'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openLedger, type Ledger } from '../../../src/accounting/ledger.js'
import { startForwarder, type Forwarder } from '../../../src/accounting/forwarder.js'
import type { RunId } from '../../../src/base/ids.js'
import { systemClock } from '../../../src/base/clock.js'
import { eventually } from '../../world/eventually.js'
import { makeDirectory, makeLedger, makeRecord } from './records.js'
import {
  recordOf,
  refuse,
  sendJson,
  startSmallAggregator,
  take,
  type Asked,
  type Misbehaviour,
  type SmallAggregator,
} from './small-aggregator.js'

let aggregator: SmallAggregator
let ledger: Ledger
let forwarder: Forwarder | undefined
let lines: Record<string, unknown>[]

beforeEach(async () => {
  aggregator = await startSmallAggregator()
  ledger = makeLedger()
  lines = []
})
afterEach(async () => {
  await forwarder?.stop()
  await aggregator.close().catch(() => undefined)
  forwarder = undefined
})

function start(node = 'n1', clock = systemClock): Forwarder {
  const log = pino(
    { level: 'debug' },
    { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) },
  )
  forwarder = startForwarder({
    ledger,
    upstream: aggregator.upstream(),
    cluster: 'hepp',
    node,
    clock,
    log,
    random: () => 0,
    gatherMs: 5,
  })
  return forwarder
}

const fill = (count: number) => Array.from({ length: count }, () => openOne())
function openOne() {
  const record = makeRecord()
  ledger.open(record)
  return record.id
}

const idle = () => ledger.outbox.unsent().count === 0
const sent = () => eventually(idle, { what: 'all records at the aggregator' })
/** 40 info, 50 error */
const said = (level: number, text: RegExp) =>
  lines.filter((line) => Number(line['level']) >= level && text.test(String(line['msg'])))

/** But the empty one that each life of a daemon begins with. */
const batches = () => aggregator.requests.filter(({ lines: sentLines }) => sentLines.length > 0)

const FACTS = {
  cpu_model: 'a cpu',
  sockets: 1,
  cores: 2,
  threads: 2,
  memory_bytes: 2 ** 33,
  kernel: '6.1',
  os: 'Debian 12',
  engine: 'docker',
  engine_version: '20.10',
  hepwrap_version: '0.1.0',
  hepscore: null,
}

/** What the aggregator has is what the ledger has. */
function expectSame(but: readonly string[] = []): void {
  const own = [...ledger.read({}, { uid: undefined })].flat()
  const theirs = [...aggregator.records.values()].map(recordOf)
  const byId = (a: { id: string }, b: { id: string }) => (a.id < b.id ? -1 : 1)
  expect(theirs.sort(byId)).toEqual(own.filter(({ id }) => !but.includes(id)).sort(byId))
}

/** Misbehaves the first `times` times that a batch comes. */
function first(times: number, how: Misbehaviour): Misbehaviour {
  let left = times
  return (asked, reply) =>
    asked.lines.length > 0 && asked.method === 'POST' && left-- > 0 && how(asked, reply)
}

describe('records', () => {
  it('arrive, and their changes after them', async () => {
    const [id] = fill(3)
    start()
    await sent()
    expectSame()
    ledger.change(id!, { state: 'COMPLETED', exit_code: 0 })
    await sent()
    expectSame()
    expect(aggregator.records.get(id!)?.state).toBe('COMPLETED')
    expect(forwarder?.state()).not.toBe('waiting')
  })

  it('go in batches of bounded size, each from where the last one ended', async () => {
    fill(4321)
    start()
    await sent()
    expectSame()
    expect(batches().map(({ after, upto }) => [after, upto])).toEqual([
      [0, 2000],
      [2000, 4000],
      [4000, 4321],
    ])
  })

  it('go on where they were after a restart, and nothing goes twice', async () => {
    fill(5)
    await start().stop()
    await sent()
    fill(5)
    start()
    await sent()
    expect(aggregator.requests.flatMap(({ lines: sentLines }) => sentLines)).toHaveLength(10)
  })

  it('that were written just before the stop go with one last attempt', async () => {
    start()
    await eventually(() => forwarder?.state() === 'idle')
    fill(3)
    await forwarder?.stop()
    expect(idle()).toBe(true)
    expectSame()
  })
})

describe('an aggregator that cannot take them now', () => {
  it('is down: they wait, and the log says it once', async () => {
    await aggregator.close()
    fill(3)
    start()
    await eventually(() => said(40, /does not answer/).length > 0)
    const { requests } = aggregator
    fill(2)
    await eventually(() => forwarder?.state() === 'waiting')
    expect(requests).toEqual([])
    await aggregator.open()
    await sent()
    expectSame()
    expect(said(40, /records wait in the ledger/)).toHaveLength(1)
    expect(said(30, /takes records again/)).toHaveLength(1)
  })

  const refusals: readonly [string, number, string, number][] = [
    ['is busy', 503, 'HW_AGGREGATOR_BUSY', 40],
    ['has a full disk', 503, 'HW_STORE_UNAVAILABLE', 40],
    ['is asked too much', 429, 'HW_AGGREGATOR_BUSY', 40],
    ['takes no credential', 401, 'HW_CREDENTIAL_INVALID', 50],
    ['finds the clock wrong', 401, 'HW_CREDENTIAL_EXPIRED', 50],
    ['takes us for another node', 403, 'HW_NODE_MISMATCH', 50],
  ]
  it.each(refusals)('%s (%i): tried again, said once', async (_what, status, code, level) => {
    aggregator.misbehave = first(3, (_asked, reply) => refuse(reply, status, code))
    fill(3)
    start()
    await sent()
    expectSame()
    const told = said(40, /records wait/)
    expect(told).toEqual([expect.objectContaining({ level, code })])
    expect(batches()).toHaveLength(4)
  })

  it('names a time: not before', async () => {
    const headers = { 'retry-after': '1' }
    aggregator.misbehave = first(1, (_asked, reply) =>
      refuse(reply, 503, 'HW_AGGREGATOR_BUSY', { headers }),
    )
    fill(1)
    start()
    await sent()
    expect(Number(said(40, /records wait/)[0]?.['wait_ms'])).toBeGreaterThanOrEqual(1000)
  })

  const nonsense: readonly [string, Misbehaviour][] = [
    [
      'ends in the middle of its reply',
      (_asked, reply) => {
        reply.writeHead(200, { 'content-length': '500' })
        reply.write('{"acked":')
        setImmediate(() => reply.destroy())
        return true
      },
    ],
    [
      'takes the batch, and its reply is lost',
      (asked, reply) => {
        take(aggregator, asked)
        reply.destroy()
        return true
      },
    ],
    [
      'answers in no JSON',
      (_asked, reply) => {
        reply.end('<html>Welcome to the hotel</html>')
        return true
      },
    ],
    ['answers null', (_asked, reply) => (sendJson(reply, 200, null), true)],
    ['leaves out what it has', (_asked, reply) => (sendJson(reply, 200, {}), true)],
    ['has less than it was sent', (_asked, reply) => (sendJson(reply, 200, { acked: 1 }), true)],
    ['has half a change', (_asked, reply) => (sendJson(reply, 200, { acked: 9.5 }), true)],
    ['sends us elsewhere', (_asked, reply) => (reply.writeHead(302).end(), true)],
    ['is none', (_asked, reply) => (reply.writeHead(404).end('not found'), true)],
    [
      'misses what is behind us',
      (_asked, reply) => refuse(reply, 409, 'HW_BATCH_GAP', { acked: 999 }),
    ],
    ['sends a reply without end', (_asked, reply) => endless(reply)],
  ]
  it.each(nonsense)('%s: nothing counts as sent that is not', async (_what, how) => {
    const bad: number[] = []
    aggregator.misbehave = first(2, (asked, reply) => {
      bad.push(ledger.outbox.acked())
      return how(asked, reply)
    })
    fill(3)
    start()
    await sent()
    expectSame()
    expect(bad).toEqual([0, 0])
    expect(said(40, /records wait/)).toHaveLength(1)
  })
})

function endless(reply: ServerResponse): true {
  reply.writeHead(200)
  const more = () => {
    if (!reply.destroyed) reply.write('x'.repeat(65_536), () => setImmediate(more))
  }
  more()
  return true
}

describe('an aggregator that has less than it had', () => {
  it('gets what it misses', async () => {
    fill(3)
    start()
    await sent()
    aggregator.forget()
    fill(2)
    await eventually(() => aggregator.records.size === 5)
    expectSame()
    expect(said(40, /less than it once had/)).toHaveLength(1)
  })

  it('time and again is not asked without a pause', async () => {
    aggregator.misbehave = first(4, (_asked, reply) =>
      refuse(reply, 409, 'HW_BATCH_GAP', { acked: 0 }),
    )
    fill(2)
    ledger.outbox.setAcked(1)
    start()
    await sent()
    expect(said(40, /records wait/).length).toBeGreaterThan(0)
    expect(aggregator.records.size).toBe(2)
  })
})

describe('an aggregator that loses its records while the node has nothing to send', () => {
  it('gets them within the hour', async () => {
    let laterMs = 0
    const clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + laterMs }
    ledger.nodeFacts.note(FACTS, '2026-11-20T00:00:00.000Z')
    fill(3)
    start('n1', clock)
    await sent()
    aggregator.forget()
    aggregator.acked.set(ledger.outbox.ledgerId(), 1) // put back from a copy
    laterMs = 3_700_000
    await eventually(() => aggregator.records.size === 2 && aggregator.facts.length === 1)
    expect(said(40, /less than it once had/)).toHaveLength(1)
    // And otherwise it is left in peace.
    const asked = aggregator.requests.length
    await eventually(() => forwarder?.state() === 'idle')
    fill(1)
    await sent()
    expect(aggregator.requests.length).toBeLessThanOrEqual(asked + 2)
  })
})

describe('a node that is renamed', () => {
  /** Takes of a node its own records alone. */
  const strict: Misbehaviour = ({ node, lines: sentLines }, reply) =>
    sentLines.some((line) => 'change_seq' in line && line.node !== node) &&
    refuse(reply, 400, 'HW_BATCH_INVALID')

  it('after it has sent: the new records go at once, the old ones stay where they are', async () => {
    aggregator.misbehave = strict
    fill(300)
    await start().stop()
    await sent()
    const id = ledger.outbox.ledgerId()
    const before = batches().length
    start('n2')
    const record = makeRecord({ node: 'n2' })
    ledger.open(record)
    await eventually(() => aggregator.records.has(record.id))
    expect(ledger.outbox.countSetAside()).toBe(0)
    expect(ledger.outbox.unsent().count).toBe(0)
    expect(ledger.outbox.ledgerId()).not.toBe(id)
    expect(batches().length).toBe(before + 1)
    // The old ones may leave like any that are sent.
    for (const { id: runId } of [...ledger.read({}, { uid: undefined })].flat())
      ledger.change(runId as RunId, { state: 'COMPLETED' })
    expect(said(50, /./)).toEqual([])
  })

  it('and back again: what waited goes, and nothing else', async () => {
    aggregator.misbehave = strict
    fill(5)
    await start().stop()
    fill(3)
    await start('n2').stop()
    expect(ledger.outbox.countSetAside()).toBe(3)
    start()
    await sent()
    await eventually(() => aggregator.records.size === 8)
    expectSame()
    expect(batches().flatMap(({ lines: sentLines }) => sentLines)).toHaveLength(8)
  })
})

describe('a ledger that was put back from a copy', () => {
  it('goes on under a new id, and all of it is sent again', async () => {
    fill(3)
    const id = ledger.outbox.ledgerId()
    aggregator.acked.set(id, 1000)
    start()
    await sent()
    expectSame()
    expect(ledger.outbox.ledgerId()).not.toBe(id)
    expect(aggregator.acked.get(ledger.outbox.ledgerId())).toBe(3)
    expect(said(40, /older copy/)).toHaveLength(1)
  })

  it('is known as such also when it has grown beyond the original meanwhile', async () => {
    const directory = makeDirectory()
    const before = openLedger(directory)
    for (let row = 0; row < 9; row++) before.open(makeRecord()) // a life without an aggregator
    before.close()
    ledger = makeLedger(directory)
    const id = ledger.outbox.ledgerId()
    aggregator.acked.set(id, 5) // of which this copy has sent none
    fill(3)
    start()
    await sent()
    expectSame()
    expect(ledger.outbox.ledgerId()).not.toBe(id)
  })

  it('is not one whose last replies were lost before a restart', async () => {
    const directory = makeDirectory()
    const before = openLedger(directory)
    for (let row = 0; row < 5; row++) before.open(makeRecord())
    before.outbox.noteSending(5)
    before.close()
    ledger = makeLedger(directory)
    const id = ledger.outbox.ledgerId()
    aggregator.acked.set(id, 5)
    fill(2)
    start()
    await sent()
    expect(ledger.outbox.ledgerId()).toBe(id)
    expect(said(40, /./)).toEqual([])
  })

  it('is not taken for one again and again', async () => {
    aggregator.misbehave = first(5, (_asked, reply) => (sendJson(reply, 200, { acked: 1e9 }), true))
    fill(3)
    start()
    await sent()
    expectSame()
    expect(said(40, /older copy/)).toHaveLength(1)
    expect(said(50, /records wait.*and it is new/)).toHaveLength(1)
  })
})

describe('a record that is refused', () => {
  const refuses =
    (...bad: readonly string[]): Misbehaviour =>
    ({ lines: sentLines }: Asked, reply) =>
      sentLines.some(({ id }) => bad.includes(id)) && refuse(reply, 400, 'HW_BATCH_INVALID')

  it('is found among the others and set aside; they go on', async () => {
    const ids = fill(300)
    const bad = [ids[17]!, ids[18]!, ids[299]!]
    aggregator.misbehave = refuses(...bad)
    start()
    await sent()
    expectSame(bad)
    const aside = ledger.outbox.listSetAside(10)
    expect(aside.map(({ id }) => id).sort()).toEqual([...bad].sort())
    expect(aside[0]?.said).toBe('no (400) (HW_BATCH_INVALID)')
    expect(said(50, /set aside/).map((line) => line['runId'])).toEqual(bad)
    // Halving: not a request for each of the 300.
    expect(aggregator.requests.length).toBeLessThan(60)
  })

  it('is tried again when the daemon starts, and when it changes', async () => {
    const [bad] = fill(3)
    aggregator.misbehave = refuses(bad!)
    start()
    await sent()
    expectSame([bad!])
    ledger.change(bad!, { state: 'COMPLETED' })
    await sent()
    expect(ledger.outbox.countSetAside()).toBe(1)
    aggregator.misbehave = () => false // it was updated
    await forwarder?.stop()
    start()
    await sent()
    await eventually(() => aggregator.records.has(bad!))
    expectSame()
    expect(ledger.outbox.countSetAside()).toBe(0)
  })

  it('is not, where everything is: then it is the aggregator that is wrong', async () => {
    aggregator.misbehave = (_asked, reply) => refuse(reply, 400, 'HW_USAGE')
    fill(20)
    start()
    await eventually(() => said(50, /records wait/).length > 0)
    expect(ledger.outbox.countSetAside()).toBe(0)
    aggregator.misbehave = () => false
    await sent()
    expectSame()
  })

  it('and the next and the next: not all of them in one go', async () => {
    const isRecord: Misbehaviour = ({ lines: sentLines }, reply) =>
      sentLines.length > 0 && refuse(reply, 400, 'HW_BATCH_INVALID')
    aggregator.misbehave = isRecord
    const ids = fill(60)
    start()
    await eventually(() => said(50, /record after record/).length > 0)
    expect(ledger.outbox.countSetAside()).toBeLessThan(60)
    aggregator.misbehave = () => false
    await sent()
    await forwarder?.stop()
    start()
    await eventually(() => aggregator.records.size === ids.length)
    expectSame()
  })

  it('is of the name that the node had before: set aside at once, and sent under that name again', async () => {
    const others = Array.from({ length: 500 }, () => {
      const record = makeRecord({ node: 'n0' })
      ledger.open(record)
      return record.id
    })
    fill(3)
    aggregator.misbehave = ({ lines: sentLines }, reply) =>
      sentLines.some(({ node }) => node === 'n0') && refuse(reply, 400, 'HW_BATCH_INVALID')
    start()
    await sent()
    expectSame(others)
    expect(batches()).toHaveLength(1)
    expect(said(50, /set aside/)).toEqual([expect.objectContaining({ records: 500 })])
    expect(ledger.outbox.listSetAside(1)[0]?.said).toMatch(/hepp\/n1/)
    await forwarder?.stop()
    aggregator.misbehave = () => false
    start('n0')
    await sent()
    await eventually(() => aggregator.records.has(others[499]!))
  })

  it('by its size though it is alone is set aside, and the others go in batches as ever', async () => {
    const ids = fill(300)
    aggregator.misbehave = ({ lines: sentLines }, reply) =>
      sentLines.some(({ id }) => id === ids[0]) && refuse(reply, 413, 'HW_BATCH_TOO_LARGE')
    start()
    await sent()
    expectSame([ids[0]!])
    expect(ledger.outbox.countSetAside()).toBe(1)
    expect(batches().length).toBeLessThan(30)
  })

  it('by its size goes in smaller batches', async () => {
    fill(1000)
    aggregator.misbehave = ({ lines: sentLines }, reply) =>
      sentLines.length > 100 && refuse(reply, 413, 'HW_BATCH_TOO_LARGE')
    start()
    await sent()
    expectSame()
    expect(ledger.outbox.countSetAside()).toBe(0)
    // It has learnt: four are refused, the others fit.
    const refused = aggregator.requests.filter(({ lines: sentLines }) => sentLines.length > 100)
    expect(refused).toHaveLength(4)
  })
})

describe('what the node is', () => {
  it('comes before the records, once, and again where it was lost', async () => {
    ledger.nodeFacts.note(FACTS, '2026-11-20T00:00:00.000Z')
    fill(1)
    start()
    await sent()
    expect(batches().map(({ method }) => method)).toEqual(['PUT', 'POST'])
    expect(batches()[0]?.path).toBe('/v1/nodes/hepp/n1/facts')
    expect(aggregator.facts).toEqual([{ ...FACTS, since: '2026-11-20T00:00:00.000Z' }])
    aggregator.forget()
    fill(1)
    await eventually(() => aggregator.facts.length === 1 && aggregator.records.size === 2)
  })

  it('holds up no records where it is refused', async () => {
    aggregator.misbehave = ({ method }, reply) =>
      method === 'PUT' && refuse(reply, 400, 'HW_REQUEST_INVALID')
    ledger.nodeFacts.note(FACTS, '2026-11-20T00:00:00.000Z')
    fill(2)
    start()
    await sent()
    fill(1)
    await sent()
    expectSame()
    expect(said(50, /facts are refused/)).toHaveLength(1)
  })
})

describe('clocks', () => {
  it('that differ are told of, once, and known to the metrics', async () => {
    const late = { ...systemClock, nowMs: () => systemClock.nowMs() - 3600_000 }
    fill(1)
    start('n1', late)
    await sent()
    fill(1)
    await sent()
    expect(said(50, /clock is 3[56]\d\d s behind the aggregator's/)).toHaveLength(1)
    expect(forwarder?.skewMs()).toBeGreaterThan(3_500_000)
  })

  it('that agree are not', async () => {
    fill(1)
    start()
    await sent()
    expect(said(40, /clock/)).toEqual([])
    expect(Math.abs(forwarder?.skewMs() ?? Infinity)).toBeLessThan(30_000)
  })
})

describe('a stop', () => {
  it('does not wait for an aggregator that says nothing', async () => {
    aggregator.misbehave = () => true
    fill(1)
    start()
    await eventually(() => aggregator.requests.length > 0)
    await forwarder?.stop()
    expect(ledger.outbox.unsent().count).toBe(1)
    expect(said(40, /./)).toEqual([])
  })

  it('finds the loop alive whatever the ledger throws', async () => {
    fill(1)
    const { outbox } = ledger
    let isBroken = true
    const broken = {
      ...outbox,
      read: (after: number, rows: number) => {
        if (isBroken) throw new Error('disk I/O error')
        return outbox.read(after, rows)
      },
    }
    ledger = { ...ledger, outbox: broken }
    start()
    await eventually(() => said(40, /disk I\/O error/).length > 0)
    isBroken = false
    await sent()
    expectSame()
  })
})
