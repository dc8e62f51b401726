// The ledger within its bounds: what goes first, what goes last, and that nothing unsent goes without a word.
import { pino } from 'pino'
import { describe, expect, it } from 'vitest'
import type { Ledger } from '../../../src/accounting/ledger.js'
import { keepWithinBounds, type KeeperParts } from '../../../src/accounting/ledger-keeper.js'
import { makeLedger, makeRecord } from './records.js'

const NOW = Date.parse('2026-11-20T12:00:00.000Z')
const daysAgo = (days: number) => new Date(NOW - days * 86_400_000).toISOString()

function keeper(ledger: Ledger, parts: Partial<KeeperParts> = {}) {
  const lines: Record<string, unknown>[] = []
  const log = pino(
    {},
    { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) },
  )
  const clock = { nowMs: () => NOW, monotonicMs: () => 0 }
  const bounds = { keepDays: 30, maxBytes: 2 ** 40, isSentOn: true }
  return { lines, look: () => keepWithinBounds({ ledger, clock, log, ...bounds, ...parts }) }
}

function openEnded(ledger: Ledger, count: number, ended_at: string): string[] {
  return Array.from({ length: count }, () => {
    const record = makeRecord({ state: 'COMPLETED', created_at: ended_at, ended_at })
    ledger.open(record)
    return record.id
  })
}

const idsOf = (ledger: Ledger) =>
  [...ledger.read({}, { uid: undefined })].flat().map(({ id }) => id)

describe('a ledger whose records are old', () => {
  it('lets go of those that are sent, page after page, and keeps the rest', async () => {
    const ledger = makeLedger()
    openEnded(ledger, 1100, daysAgo(31))
    const fresh = openEnded(ledger, 3, daysAgo(0))
    ledger.outbox.setAcked(ledger.outbox.lastChange())
    const { look, lines } = keeper(ledger)
    await look()
    expect(idsOf(ledger)).toEqual(fresh)
    expect(lines).toEqual([expect.objectContaining({ level: 30, expired: 1100, early: 0 })])
    await look()
    expect(lines).toHaveLength(1)
  })

  it('does not take a clock at its word that is years ahead of all records', async () => {
    const ledger = makeLedger()
    const ids = openEnded(ledger, 3, daysAgo(1))
    ledger.outbox.setAcked(3)
    const clock = { nowMs: () => Date.parse('2099-01-01T00:00:00.000Z'), monotonicMs: () => 0 }
    await keeper(ledger, { clock }).look()
    expect(idsOf(ledger)).toEqual(ids)
  })

  it('keeps what the aggregator does not have, however old; without one nothing waits', async () => {
    const ledger = makeLedger()
    const old = openEnded(ledger, 3, daysAgo(500))
    const fresh = openEnded(ledger, 1, daysAgo(0))
    await keeper(ledger).look()
    expect(idsOf(ledger)).toEqual([...old, ...fresh])
    await keeper(ledger, { isSentOn: false }).look()
    expect(idsOf(ledger)).toEqual(fresh)
    expect(ledger.retention.dropped().count).toBe(0)
  })
})

describe('a ledger that is too large', () => {
  it('lets go of the oldest that are sent, and drops nothing while that is enough', async () => {
    const ledger = makeLedger()
    openEnded(ledger, 1500, daysAgo(2))
    const unsent = openEnded(ledger, 20, daysAgo(1))
    ledger.outbox.setAcked(1500)
    const { look, lines } = keeper(ledger, { maxBytes: ledger.retention.usedBytes() / 2 })
    await look()
    expect(idsOf(ledger).slice(-20)).toEqual(unsent)
    expect(idsOf(ledger).length).toBeLessThan(1520)
    expect(ledger.retention.dropped().count).toBe(0)
    expect(lines.map(({ level }) => level)).toEqual([30])
  })

  it('drops the oldest unsent ones at last, counted and told; a run that goes on stays', async () => {
    const ledger = makeLedger()
    const running = makeRecord()
    ledger.open(running)
    const ids = openEnded(ledger, 1000, daysAgo(1))
    const full = ledger.retention.usedBytes()
    const { look, lines } = keeper(ledger, { maxBytes: full * 0.7 })
    await look()
    const dropped = ledger.retention.dropped().count
    expect(dropped).toBeGreaterThan(0)
    expect(dropped).toBeLessThan(1000)
    expect(idsOf(ledger)).toEqual([running.id, ...ids.slice(dropped)])
    expect(lines).toEqual([
      expect.objectContaining({
        level: 50,
        dropped,
        ever: dropped,
        first: ids.slice(0, 5),
        msg: 'the ledger is full: its oldest records were dropped before the aggregator had them',
      }),
    ])
  })

  it('by runs that go on alone is left as it is', async () => {
    const ledger = makeLedger()
    const running = makeRecord()
    ledger.open(running)
    const { look, lines } = keeper(ledger, { maxBytes: 1 })
    await look()
    expect(idsOf(ledger)).toEqual([running.id])
    expect(lines).toEqual([])
  })
})
