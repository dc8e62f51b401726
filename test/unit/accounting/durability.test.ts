// What the ledger has said is written stays written, though its daemon be killed at any instant; and one daemon holds it.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openLedger } from '../../../src/accounting/ledger.js'
import { buildRooms, startProgram } from './ledger-program.js'
import { makeDirectory, makeLedger, makeRecord } from './records.js'

const KILLS = 20

/** Opens and closes records for ever; says what it did once the ledger has said so. */
const WRITER = `
  import { writeSync } from 'node:fs'
  import { openLedger } from './accounting/ledger.js'
  import { newRunId } from './base/ids.js'
  const [directory, template] = process.argv.slice(1)
  const ledger = openLedger(directory)
  for (;;) {
    const id = newRunId()
    ledger.open({ ...JSON.parse(template), id }, { placement: { id } })
    writeSync(1, 'opened ' + id + '\\n')
    ledger.change(id, { state: 'COMPLETED', exit_code: 0 })
    writeSync(1, 'closed ' + id + '\\n')
  }`

const HOLDER = `
  import { openLedger } from './accounting/ledger.js'
  openLedger(process.argv[1])
  console.log('holds')
  setInterval(() => undefined, 1000)`

let rooms: string
beforeAll(() => {
  rooms = buildRooms()
})
afterAll(() => rmSync(rooms, { recursive: true, force: true }))

describe('a ledger whose daemon is killed', () => {
  it(`has every record it told of, ${KILLS} times`, { timeout: 60_000 }, async () => {
    const directory = makeDirectory()
    const opened = new Set<string>()
    const closed = new Set<string>()
    for (let kill = 0; kill < KILLS; kill++) {
      const writer = startProgram(rooms, WRITER, directory, JSON.stringify(makeRecord()))
      await writer.speaks
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 20))
      writer.child.kill('SIGKILL')
      await writer.ended
      for (const line of writer.lines()) {
        const [what, id = ''] = line.split(' ')
        ;(what === 'opened' ? opened : closed).add(id)
      }
    }
    const ledger = makeLedger(directory)
    const records = new Map(
      [...ledger.read({}, { uid: undefined })].flat().map((row) => [row.id, row]),
    )
    expect([...opened].filter((id) => !records.has(id))).toEqual([])
    expect([...closed].filter((id) => records.get(id)?.state !== 'COMPLETED')).toEqual([])
    expect(opened.size).toBeGreaterThanOrEqual(KILLS)

    // At most one row of each life was opened or closed and not told of.
    expect(records.size - opened.size).toBeLessThanOrEqual(KILLS)
    const unfinished = ledger.unfinished()
    expect(unfinished.length).toBeLessThanOrEqual(KILLS)
    for (const { record, undo } of unfinished)
      expect(undo).toEqual({ placement: { id: record.id } })

    const reader = new Database(join(directory, 'ledger.db'), { readonly: true })
    expect(reader.pragma('integrity_check', { simple: true })).toBe('ok')
    const twice = 'SELECT change_seq FROM records GROUP BY change_seq HAVING count(*) > 1'
    expect(reader.prepare(twice).all()).toEqual([]) // no change's number is given twice
    reader.close()
  })
})

describe('two daemons on one state directory', () => {
  it('are one too many, until the first is dead', async () => {
    const directory = makeDirectory()
    const holder = startProgram(rooms, HOLDER, directory)
    expect(await holder.speaks).toBe('holds')
    expect(() => openLedger(directory)).toThrow(
      expect.objectContaining({
        code: 'HW_LEDGER_UNAVAILABLE',
        message: `another hepwrapd holds the ledger in ${directory}`,
      }),
    )
    holder.child.kill('SIGKILL')
    await holder.ended
    const ledger = makeLedger(directory)
    const record = makeRecord()
    ledger.open(record)
    expect(ledger.unfinished()).toHaveLength(1)
  })
})
