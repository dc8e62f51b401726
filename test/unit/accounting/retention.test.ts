// What may go of the ledger: sent and ended rows by age and size, unsent ones only when counted, running ones never.
import { describe, expect, it } from 'vitest'
import { openLedger, type Ledger } from '../../../src/accounting/ledger.js'
import { makeDirectory, makeLedger, makeRecord } from './records.js'

const day = (number: number) => `2026-01-${String(number).padStart(2, '0')}T00:00:00.000Z`

/** A row that ended on each of these days, and one that runs since the first. */
function fill(ledger: Ledger, days: number) {
  const running = makeRecord({ created_at: day(1) })
  ledger.open(running)
  const ended = Array.from({ length: days }, (_, index) => {
    const record = makeRecord({ created_at: day(index + 1), ended_at: day(index + 1) })
    ledger.open({ ...record, state: 'COMPLETED' })
    return record.id
  })
  return { running: running.id, ended }
}

const idsOf = (ledger: Ledger) =>
  [...ledger.read({}, { uid: undefined })].flat().map(({ id }) => id)

describe('rows that are sent', () => {
  it('go when they ended before the day, and runs that go on stay', () => {
    const ledger = makeLedger()
    const { running, ended } = fill(ledger, 6)
    ledger.outbox.setAcked(5) // the run that goes on, and days 1 to 4
    const page = { after: 0, isAllSent: false, endedBefore: day(3) }
    expect(ledger.retention.removeSent(page)).toEqual({ removed: 2, next: undefined })
    expect(idsOf(ledger)).toEqual([running, ...ended.slice(2)])
    expect(ledger.retention.dropped().count).toBe(0)
  })

  it('are all, where there is nobody to send them to', () => {
    const ledger = makeLedger()
    const { running } = fill(ledger, 3)
    expect(ledger.retention.removeSent({ after: 0, isAllSent: true }).removed).toBe(3)
    expect(idsOf(ledger)).toEqual([running])
  })

  it('do not take those along that are not, or are set aside', () => {
    const ledger = makeLedger()
    const { running, ended } = fill(ledger, 4)
    const [aside] = ended
    ledger.outbox.setAside({ id: aside!, changeSeq: 2, said: 'no', since: day(9) })
    ledger.outbox.setAcked(3)
    expect(ledger.retention.removeSent({ after: 0, isAllSent: false }).removed).toBe(1)
    expect(idsOf(ledger)).toEqual([running, aside, ended[2], ended[3]])
  })

  it('go in pages, each a bounded piece of work', () => {
    const ledger = makeLedger()
    for (let row = 0; row < 501; row++) ledger.open(makeRecord({ state: 'REFUSED' }))
    const first = ledger.retention.removeSent({ after: 0, isAllSent: true })
    expect(first).toEqual({ removed: 500, next: 500 })
    const second = ledger.retention.removeSent({ after: 500, isAllSent: true })
    expect(second).toEqual({ removed: 1, next: undefined })
  })
})

describe('rows that are not sent', () => {
  it('go oldest first and counted, across a restart; runs that go on stay', () => {
    const directory = makeDirectory()
    const first = openLedger(directory)
    const { running, ended } = fill(first, 60)
    expect(first.retention.dropUnsent('2026-11-20T12:00:00.000Z')).toEqual(ended.slice(0, 50))
    expect(first.retention.dropped().count).toBe(50)
    expect(first.retention.dropped().lastAt).toBe('2026-11-20T12:00:00.000Z')
    first.close()
    const second = makeLedger(directory)
    expect(second.retention.dropUnsent('2026-11-20T12:00:00.000Z')).toEqual(ended.slice(50))
    expect(second.retention.dropUnsent('2026-11-20T12:00:00.000Z')).toEqual([])
    expect(second.retention.dropped().count).toBe(60)
    expect(idsOf(second)).toEqual([running])
    expect(second.outbox.unsent().count).toBe(1)
  })

  it('are also those that are set aside', () => {
    const ledger = makeLedger()
    const { ended } = fill(ledger, 2)
    ledger.outbox.setAside({ id: ended[0]!, changeSeq: 2, said: 'no', since: day(9) })
    ledger.outbox.setAcked(3)
    expect(ledger.retention.dropUnsent('2026-11-20T12:00:00.000Z')).toEqual([ended[0]])
    expect(ledger.outbox.countSetAside()).toBe(0)
  })
})

describe('what the ledger takes', () => {
  it('grows with its rows, and shrinks with them', () => {
    const ledger = makeLedger()
    const empty = ledger.retention.usedBytes()
    for (let row = 0; row < 300; row++) ledger.open(makeRecord({ state: 'REFUSED' }))
    const full = ledger.retention.usedBytes()
    ledger.retention.removeSent({ after: 0, isAllSent: true })
    expect(full).toBeGreaterThan(empty)
    expect(ledger.retention.usedBytes()).toBeLessThan(full)
  })
})

describe('what the node is', () => {
  const facts = {
    cpu_model: 'a cpu',
    sockets: 1,
    cores: 2,
    threads: 4,
    memory_bytes: 2 ** 34,
    kernel: '6.1.0',
    os: 'Debian 12',
    engine: 'docker',
    engine_version: '20.10.24',
    hepwrap_version: '0.1.0',
    hepscore: null,
  }

  it('is written once a change, and waits until it is sent', () => {
    const { nodeFacts } = makeLedger()
    expect(nodeFacts.note(facts, day(1))).toBe(true)
    expect(nodeFacts.note(facts, day(2))).toBe(false)
    expect(nodeFacts.note({ ...facts, hepscore: 12.5 }, day(3))).toBe(true)
    expect(nodeFacts.unsent().map(({ since }) => since)).toEqual([day(1), day(3)])
    nodeFacts.markSent(day(1))
    expect(nodeFacts.unsent()).toEqual([{ ...facts, hepscore: 12.5, since: day(3) }])
    expect(nodeFacts.newest()?.hepscore).toBe(12.5)
    // Noted by a clock that was not set yet: it holds from now on all the same.
    expect(nodeFacts.note(facts, '1970-01-01T00:00:10.000Z')).toBe(true)
    expect(nodeFacts.newest()).toEqual({ ...facts, since: '2026-01-03T00:00:00.001Z' })
    nodeFacts.markSent('2026-01-03T00:00:00.001Z')
    nodeFacts.markAllUnsent()
    expect(nodeFacts.unsent()).toHaveLength(3)
  })
})
