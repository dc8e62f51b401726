// The ledger on a file system that is full, or read-only, and well again: nothing runs unrecorded, nothing recorded is lost.
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openLedger, type Ledger } from '../../../src/accounting/ledger.js'
import { makeRecord } from '../../unit/accounting/records.js'
import '../../world/world.js'

const UNAVAILABLE = expect.objectContaining({ code: 'HW_LEDGER_UNAVAILABLE' }) as Error

let directory: string
beforeEach(() => {
  directory = mkdtempSync('/srv/hepwrap-disk-')
  mount('-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', directory)
})
afterEach(() => {
  execFileSync('umount', [directory])
  rmSync(directory, { recursive: true })
})

const mount = (...args: string[]) => void execFileSync('mount', args)

/** Takes all that is free, to the last byte. */
function fill(): void {
  for (let index = 0; ; index++) {
    const { bavail, bsize } = statfsSync(directory)
    if (bavail === 0) return
    writeFileSync(join(directory, `fill-${index}`), Buffer.alloc(bavail * bsize))
  }
}

const free = () => execFileSync('/bin/sh', ['-c', `rm -f ${directory}/fill-*`])
const all = (ledger: Ledger) => [...ledger.read({}, { uid: undefined })].flat()

/** Writes until the disk is full; returns what the ledger said it has. */
function writeUntilFull(ledger: Ledger): string[] {
  const ids: string[] = []
  for (;;) {
    const record = makeRecord({ command: 'x'.repeat(4000) })
    try {
      ledger.open(record)
    } catch (thrown) {
      expect(thrown).toEqual(UNAVAILABLE)
      return ids
    }
    ids.push(record.id)
  }
}

describe('a full disk', () => {
  it('is a refusal with a reason, keeps what was written, and is over once there is space', () => {
    const ledger = openLedger(join(directory, 'state'))
    const before = makeRecord()
    ledger.open(before, { placement: 1 })
    fill()
    const ids = writeUntilFull(ledger)
    expect(() => ledger.open(makeRecord())).toThrow(UNAVAILABLE)
    expect(() => ledger.probe()).toThrow(UNAVAILABLE)
    expect(() => ledger.probe()).toThrow(/full/)
    expect(all(ledger).map(({ id }) => id)).toEqual([before.id, ...ids])
    expect(ledger.unfinished()).toHaveLength(ids.length + 1)

    free()
    ledger.probe()
    expect(ledger.change(before.id, { state: 'COMPLETED', exit_code: 0 })).toBe(true)
    const after = makeRecord()
    ledger.open(after)
    ledger.close()

    const again = openLedger(join(directory, 'state'))
    expect(all(again).map(({ id }) => id)).toEqual([before.id, ...ids, after.id])
    expect(all(again)[0]).toMatchObject({ state: 'COMPLETED', exit_code: 0 })
    again.close()
    const db = new Database(join(directory, 'state/ledger.db'), { readonly: true })
    expect(db.pragma('integrity_check', { simple: true })).toBe('ok')
    db.close()
  })

  it('does not let a row leave RUNNING in memory only', () => {
    const ledger = openLedger(join(directory, 'state'))
    fill()
    const ids = writeUntilFull(ledger)
    for (const id of ids.slice(0, 3)) {
      try {
        ledger.change(makeRecord({ id }).id, { state: 'COMPLETED', exit_code: 0 })
      } catch (thrown) {
        expect(thrown).toEqual(UNAVAILABLE)
      }
    }
    const inMemory = all(ledger).map(({ id, state }) => [id, state])
    ledger.close()
    free()
    const again = openLedger(join(directory, 'state'))
    expect(all(again).map(({ id, state }) => [id, state])).toEqual(inMemory)
    again.close()
  })

  it('at the first start is a clear refusal, and leaves nothing that a later start trips over', () => {
    fill()
    expect(() => openLedger(join(directory, 'state'))).toThrow(UNAVAILABLE)
    free()
    const ledger = openLedger(join(directory, 'state'))
    ledger.open(makeRecord())
    expect(all(ledger)).toHaveLength(1)
    ledger.close()
  })
})

describe('a read-only file system', () => {
  it('is a refusal with a reason, and reading goes on', () => {
    mkdirSync(join(directory, 'state'))
    const ledger = openLedger(join(directory, 'state'))
    const record = makeRecord()
    ledger.open(record)
    ledger.close()
    mount('-o', 'remount,ro', directory)
    expect(() => openLedger(join(directory, 'state'))).toThrow(UNAVAILABLE)
    mount('-o', 'remount,rw', directory)
    const again = openLedger(join(directory, 'state'))
    expect(all(again)).toEqual([record])
    again.close()
  })
})
