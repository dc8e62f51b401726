// What of the ledger is still to be sent: numbered changes, what is acknowledged, what is set aside; whatever else happens.
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { describe, expect, it } from 'vitest'
import { openLedger, type Ledger } from '../../../src/accounting/ledger.js'
import { makeDirectory, makeLedger, makeRecord } from './records.js'

const PAGE = 100

const openMany = (ledger: Ledger, count: number) =>
  Array.from({ length: count }, () => {
    const record = makeRecord()
    ledger.open(record)
    return record
  })

const numbers = (ledger: Ledger, after = 0, rows = PAGE) => {
  const { records, upto } = ledger.outbox.read(after, rows)
  return { seqs: records.map(({ changeSeq }) => changeSeq), upto }
}

describe('changes', () => {
  it('are numbered in their order; a row that changes again leaves its old number empty', () => {
    const ledger = makeLedger()
    const [first, second] = openMany(ledger, 3)
    ledger.change(first!.id, { image_id: 'sha256:1' })
    ledger.change(second!.id, { state: 'COMPLETED' })
    const { records, upto } = ledger.outbox.read(0, PAGE)
    expect(records.map(({ changeSeq }) => changeSeq)).toEqual([3, 4, 5])
    expect(records.slice(1).map(({ record }) => record)).toEqual([
      { ...first, image_id: 'sha256:1' },
      { ...second, state: 'COMPLETED' },
    ])
    expect(upto).toBe(5)
  })

  it('come in pages that leave nothing out', () => {
    const ledger = makeLedger()
    openMany(ledger, 7)
    expect(numbers(ledger, 0, 3)).toEqual({ seqs: [1, 2, 3], upto: 3 })
    expect(numbers(ledger, 3, 3)).toEqual({ seqs: [4, 5, 6], upto: 6 })
    expect(numbers(ledger, 6, 3)).toEqual({ seqs: [7], upto: 7 })
    expect(numbers(ledger, 7, 3)).toEqual({ seqs: [], upto: 7 })
  })

  it('that write nothing are no rows, though they may take a number', () => {
    const ledger = makeLedger()
    const [record] = openMany(ledger, 1)
    ledger.change(record!.id, { state: 'FAILED' })
    expect(ledger.change(record!.id, { state: 'COMPLETED' })).toBe(false)
    const { seqs, upto } = numbers(ledger)
    expect(seqs).toEqual([2])
    expect(upto).toBeGreaterThanOrEqual(2)
  })

  it('go on counting after a restart, also where the last rows are gone', () => {
    const directory = makeDirectory()
    const first = openLedger(directory)
    for (const record of openMany(first, 4)) first.change(record.id, { state: 'COMPLETED' })
    first.outbox.setAcked(8)
    first.retention.removeSent({ after: 0, isAllSent: false })
    first.close()
    const second = makeLedger(directory)
    expect(numbers(second, 8)).toEqual({ seqs: [], upto: 8 })
    openMany(second, 1)
    expect(numbers(second, 8)).toEqual({ seqs: [9], upto: 9 })
  })

  it('of a ledger that was made before they had numbers are all to be sent', () => {
    const directory = makeDirectory()
    const old = openLedger(directory)
    const records = openMany(old, 3)
    old.close()
    const db = new Database(join(directory, 'ledger.db'))
    db.exec(`DROP INDEX records_change; ALTER TABLE records DROP COLUMN change_seq;
      DROP TABLE set_aside; DROP TABLE node_facts; DELETE FROM marks; PRAGMA user_version = 2`)
    db.close()
    const ledger = makeLedger(directory)
    expect(ledger.outbox.read(0, PAGE).records.map(({ record }) => record)).toEqual(records)
    expect(ledger.outbox.ledgerId()).toMatch(/^[0-9a-f]{32}$/)
    expect(ledger.outbox.unsent().count).toBe(3)
    openMany(ledger, 1)
    expect(numbers(ledger, 3).seqs).toEqual([4])
  })
})

describe('what is sent', () => {
  it('is remembered, forward and back', () => {
    const directory = makeDirectory()
    const first = openLedger(directory)
    openMany(first, 5)
    first.outbox.setAcked(3)
    const id = first.outbox.ledgerId()
    first.close()
    const { outbox } = makeLedger(directory)
    expect([outbox.acked(), outbox.lastChange(), outbox.ledgerId()]).toEqual([3, 5, id])
    expect(outbox.unsent().count).toBe(2)
    outbox.setAcked(1)
    expect(outbox.unsent().count).toBe(4)
  })

  it('is told by how many wait, and since when', () => {
    const ledger = makeLedger()
    expect(ledger.outbox.unsent()).toEqual({ count: 0, oldestSince: undefined })
    const late = makeRecord({ created_at: '2026-02-01T00:00:00.000Z' })
    const early = makeRecord({ created_at: '2026-01-01T00:00:00.000Z' })
    ledger.open(early)
    ledger.open(late)
    expect(ledger.outbox.unsent()).toEqual({ count: 2, oldestSince: early.created_at })
    // A change begins to wait when it is made.
    ledger.change(early.id, { state: 'COMPLETED', ended_at: '2026-03-01T00:00:00.000Z' })
    expect(ledger.outbox.unsent()).toEqual({ count: 2, oldestSince: late.created_at })
    ledger.outbox.setAcked(2)
    expect(ledger.outbox.unsent()).toEqual({ count: 1, oldestSince: '2026-03-01T00:00:00.000Z' })
  })

  it('of a ledger put back from a copy begins anew under another id', () => {
    const { outbox } = makeLedger()
    const before = outbox.ledgerId()
    outbox.setAcked(0)
    outbox.renew()
    expect(outbox.ledgerId()).toMatch(/^[0-9a-f]{32}$/)
    expect(outbox.ledgerId()).not.toBe(before)
    expect(outbox.acked()).toBe(0)
  })
})

describe('another name', () => {
  const [old, present] = [
    { cluster: 'hepp', node: 'n1' },
    { cluster: 'hepp', node: 'n2' },
  ]
  const now = '2026-11-20T12:00:00.000Z'

  it('begins another ledger behind what is sent; what waits of the old is set aside, of the new it goes', () => {
    const directory = makeDirectory()
    const first = openLedger(directory)
    first.outbox.sendAs(old, now)
    openMany(first, 4)
    first.outbox.setAcked(3)
    const own = makeRecord({ node: 'n2' })
    first.open(own) // before anybody forwards under the new name
    const id = first.outbox.ledgerId()
    expect(first.outbox.sendAs(present, now)).toBe(1)
    const expectGoing = ({ outbox }: Ledger) => {
      expect(outbox.ledgerId()).not.toBe(id)
      expect([outbox.acked(), outbox.settled()]).toEqual([0, 3])
      expect(outbox.read(0, PAGE)).toEqual({ records: [{ record: own, changeSeq: 5 }], upto: 5 })
      expect(outbox.unsent().count).toBe(1)
      expect(outbox.countSetAside()).toBe(1)
    }
    expectGoing(first)
    first.close()
    const second = makeLedger(directory)
    expect(second.outbox.sendAs(present, now)).toBe(1)
    expect(second.outbox.retrySetAside(present)).toBe(0)
    expectGoing(second)
  })

  it('that is the same is no other', () => {
    const ledger = makeLedger()
    openMany(ledger, 2)
    ledger.outbox.sendAs(old, now)
    const id = ledger.outbox.ledgerId()
    ledger.outbox.setAcked(2)
    expect(ledger.outbox.sendAs(old, now)).toBe(0)
    expect([ledger.outbox.ledgerId(), ledger.outbox.acked()]).toEqual([id, 2])
  })
})

describe('a record set aside', () => {
  const said = 'HW_BATCH_MALFORMED: line 1'
  const since = '2026-11-20T12:00:00.000Z'
  const aside = (ledger: Ledger) => {
    const records = openMany(ledger, 3)
    ledger.outbox.setAside({ id: records[1]!.id, changeSeq: 2, said, since })
    return records
  }

  it('is not sent, is kept, and does not count as waiting', () => {
    const ledger = makeLedger()
    const records = aside(ledger)
    expect(numbers(ledger).seqs).toEqual([1, 3])
    expect(numbers(ledger, 1, 1)).toEqual({ seqs: [3], upto: 3 })
    expect(ledger.outbox.unsent().count).toBe(2)
    expect(ledger.outbox.countSetAside()).toBe(1)
    expect(ledger.outbox.listSetAside(5)).toEqual([
      { id: records[1]!.id, changeSeq: 2, said, since },
    ])
    expect([...ledger.read({}, { uid: undefined })].flat()).toHaveLength(3)
  })

  it('at the end of all is passed over', () => {
    const ledger = makeLedger()
    const [record] = openMany(ledger, 1)
    ledger.outbox.setAside({ id: record!.id, changeSeq: 1, said, since })
    expect(numbers(ledger)).toEqual({ seqs: [], upto: 1 })
  })

  it('is sent again once it changes', () => {
    const ledger = makeLedger()
    const records = aside(ledger)
    ledger.change(records[1]!.id, { state: 'COMPLETED' })
    expect(numbers(ledger).seqs).toEqual([1, 3, 4])
    expect(ledger.outbox.countSetAside()).toBe(0)
    expect(ledger.outbox.unsent().count).toBe(3)
  })

  it('is sent again when it is taken up, as a change of now', () => {
    const ledger = makeLedger()
    const records = aside(ledger)
    ledger.outbox.setAcked(3)
    expect(ledger.outbox.retrySetAside({ cluster: 'hepp', node: 'n1' })).toBe(1)
    expect(ledger.outbox.read(3, PAGE).records).toEqual([{ record: records[1], changeSeq: 4 }])
    expect(ledger.outbox.retrySetAside({ cluster: 'hepp', node: 'n1' })).toBe(0)
  })
})
