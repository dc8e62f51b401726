// The node's ledger on a real SQLite file: what goes in comes out, to whom it may, and a closed row stays as it is.
import { chmodSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { describe, expect, it } from 'vitest'
import { openLedger } from '../../../src/accounting/ledger.js'
import { toRow } from '../../../src/accounting/record.js'
import { RECORD_FIELDS } from '../../../src/wire/record-fields.js'
import type { RunId } from '../../../src/base/ids.js'
import { makeDirectory, makeLedger, makeRecord } from './records.js'

const EVERYBODY = { uid: undefined }

/** A record in which no field is null. */
const fullRecord = () =>
  makeRecord({
    array_job_id: 40,
    array_task_id: 2,
    het_offset: 1,
    name: 'it’s "mine"\u0000',
    labels: { 'a.b': "c'd", __proto__x: '1' },
    image_id: `sha256:${'a'.repeat(64)}`,
    image_digest: `sha256:${'b'.repeat(64)}`,
    engine: 'docker',
    engine_version: '20.10.24',
    state: 'OUT_OF_MEMORY',
    reason: 'HW_OOM_KILLED',
    exit_code: 137,
    signal: 9,
    oom_kills: 1,
    started_at: '2026-01-31T12:00:01.000Z',
    ended_at: '2026-01-31T12:00:02.000Z',
    pull_ms: 0,
    setup_ms: 120,
    cpu_user_usec: 2 ** 53 - 1,
    cpu_system_usec: 0,
    memory_peak_bytes: 2 ** 40,
    io_read_bytes: 0,
    io_write_bytes: 1,
    pids_peak: 3,
    cpus: 1.5,
    memory_limit_bytes: 2 ** 41,
    gres: 'gpu:2',
    rule: 'hepwrapd.toml:1 [policy]: images.allow',
  })

const read = (ledger: ReturnType<typeof makeLedger>, uid?: number) =>
  [...ledger.read({}, { uid })].flat()

describe('a record', () => {
  it('comes out as it went in, every field of the contract, in its order', () => {
    const ledger = makeLedger()
    const record = fullRecord()
    ledger.open(record)
    const [got] = read(ledger)
    expect(got).toEqual(record)
    expect(Object.keys(got ?? {})).toEqual([...RECORD_FIELDS])
    expect(Object.values(got ?? {})).not.toContain(null)
  })

  it('keeps absence apart from zero', () => {
    const ledger = makeLedger()
    ledger.open(makeRecord({ exit_code: 0, pull_ms: null, cpu_user_usec: 0 }))
    expect(read(ledger)[0]).toMatchObject({ exit_code: 0, pull_ms: null, cpu_user_usec: 0 })
  })

  it('has exactly the contract’s fields', () => {
    // What CONTRACT.md names, and what was added behind it.
    expect(RECORD_FIELDS.join(' ')).toBe(
      'id cluster node job_id array_job_id array_task_id het_offset restart_count step_id task user uid group gid account ' +
        'partition image image_id image_digest command name labels engine engine_version state reason exit_code signal ' +
        'oom_kills created_at started_at ended_at pull_ms setup_ms cpu_user_usec cpu_system_usec memory_peak_bytes ' +
        'io_read_bytes io_write_bytes pids_peak cpus memory_limit_bytes gres rule',
    )
  })

  it('of one id is written once', () => {
    const ledger = makeLedger()
    const record = makeRecord()
    ledger.open(record)
    expect(() => ledger.open({ ...record, uid: 7 })).toThrow(
      expect.objectContaining({ code: 'HW_LEDGER_UNAVAILABLE' }),
    )
    expect(read(ledger)).toEqual([record])
  })

  it('is kept with limits beyond what an integer column holds', () => {
    const ledger = makeLedger()
    // What a user asks for is recorded before anybody has checked it; "no limit" of cgroup v1 is 2^63 - 4096.
    for (const memory_limit_bytes of [2 ** 53, 2 ** 63 - 4096, 2 ** 63, 1e300])
      ledger.open(makeRecord({ memory_limit_bytes, cpus: 1e300, state: 'REFUSED' }))
    expect(read(ledger).map(({ cpus }) => cpus)).toEqual([1e9, 1e9, 1e9, 1e9])
  })
})

describe('a change', () => {
  it('writes what it names and nothing else', () => {
    const ledger = makeLedger()
    const record = makeRecord()
    ledger.open(record)
    expect(ledger.change(record.id, { image_id: 'sha256:1', pull_ms: 5 })).toBe(true)
    expect(ledger.change(record.id, { state: 'FAILED', exit_code: 3 })).toBe(true)
    const expected = { ...record, image_id: 'sha256:1', pull_ms: 5, state: 'FAILED', exit_code: 3 }
    expect(read(ledger)).toEqual([expected])
  })

  it.each([
    'COMPLETED',
    'FAILED',
    'CANCELLED',
    'TIMEOUT',
    'OUT_OF_MEMORY',
    'NODE_FAIL',
    'REFUSED',
  ] as const)('of a row that is %s is refused', (state) => {
    const ledger = makeLedger()
    const record = makeRecord({ state, exit_code: 1 })
    ledger.open(record)
    expect(ledger.change(record.id, { state: 'RUNNING' })).toBe(false)
    expect(ledger.change(record.id, { exit_code: 0 })).toBe(false)
    expect(read(ledger)).toEqual([record])
  })

  it('of nothing, or of a row that is not there, does nothing', () => {
    const ledger = makeLedger()
    const record = makeRecord()
    ledger.open(record)
    expect(ledger.change(record.id, {})).toBe(false)
    expect(ledger.change('0'.repeat(32) as RunId, { exit_code: 0 })).toBe(false)
    expect(read(ledger)).toEqual([record])
  })

  it('takes counters in fractions and beyond every disk', () => {
    const ledger = makeLedger()
    const record = makeRecord()
    ledger.open(record)
    const change = {
      cpu_user_usec: 1234.5,
      memory_peak_bytes: 2 ** 63,
      state: 'COMPLETED',
    } as const
    expect(ledger.change(record.id, change)).toBe(true)
    expect(read(ledger)[0]?.state).toBe('COMPLETED')
  })
})

describe('unfinished rows', () => {
  it('are those that are RUNNING, with what recovery needs', () => {
    const ledger = makeLedger()
    const placement = { version: 1, directories: [{ controller: 'pids', path: '/a', own: true }] }
    const [open, bare, done] = [makeRecord(), makeRecord(), makeRecord()]
    ledger.open(open, { placement })
    ledger.open(bare)
    ledger.open(done, { placement })
    ledger.change(done.id, { state: 'COMPLETED' })
    expect(ledger.unfinished()).toEqual([
      { record: open, undo: { placement } },
      { record: bare, undo: { placement: undefined } },
    ])
  })

  it('survive the daemon', () => {
    const directory = makeDirectory()
    const first = openLedger(directory)
    const record = makeRecord()
    first.open(record, { placement: { a: 1 } })
    first.close()
    expect(makeLedger(directory).unfinished()).toEqual([{ record, undo: { placement: { a: 1 } } }])
  })
})

describe('whose records', () => {
  const two = () => {
    const ledger = makeLedger()
    const mine = makeRecord({ uid: 2001 })
    const theirs = makeRecord({ uid: 2002, state: 'COMPLETED' })
    ledger.open(mine)
    ledger.open(theirs)
    return { ledger, mine, theirs }
  }

  it('by read', () => {
    const { ledger, mine, theirs } = two()
    expect(read(ledger, 2001)).toEqual([mine])
    expect(read(ledger, 2002)).toEqual([theirs])
    expect(read(ledger, 0)).toEqual([])
    expect(read(ledger)).toEqual([mine, theirs])
    expect([...ledger.read({ user: '2002' }, { uid: 2001 })].flat()).toEqual([])
    expect([...ledger.read({ job: '42' }, { uid: 2001 })].flat()).toEqual([mine])
  })

  it('by the beginning of an id', () => {
    const { ledger, mine, theirs } = two()
    expect(ledger.findByPrefix(mine.id.slice(0, 12), { uid: 2001 }, 5)).toEqual([mine])
    expect(ledger.findByPrefix(theirs.id, { uid: 2001 }, 5)).toEqual([])
    expect(ledger.findByPrefix(theirs.id, EVERYBODY, 5)).toEqual([theirs])
    expect(ledger.findByPrefix('', EVERYBODY, 1)).toHaveLength(1)
    for (const evil of [
      '%',
      '_',
      '*',
      '?',
      "' OR 1=1 --",
      `${mine.id}0`,
      mine.id.toUpperCase() + 'x',
    ])
      expect(ledger.findByPrefix(evil, EVERYBODY, 5)).toEqual([])
  })

  it('by newest', () => {
    const { ledger, mine, theirs } = two()
    const later = makeRecord({ uid: 2001, state: 'FAILED' })
    ledger.open(later)
    expect(ledger.newest(EVERYBODY, 10)).toEqual([later, theirs, mine])
    expect(ledger.newest(EVERYBODY, 1)).toEqual([later])
    expect(ledger.newest({ uid: 2001 }, 10)).toEqual([later, mine])
    expect(ledger.newest({ uid: 2002 }, 'running')).toEqual([])
    expect(ledger.newest({ uid: 2001 }, 'running')).toEqual([mine])
    expect(ledger.newest(EVERYBODY, 'running')).toEqual([mine])
  })
})

describe('the file', () => {
  it('is nobody’s but its owner’s, also in a directory that others may enter', () => {
    const directory = makeDirectory()
    chmodSync(directory, 0o755)
    makeLedger(directory).open(makeRecord())
    const files = readdirSync(directory)
    expect(files).toContain('ledger.db')
    for (const name of files) expect(statSync(join(directory, name)).mode & 0o077, name).toBe(0)
  })

  it('is made with its directory, which others may not enter', () => {
    const directory = join(makeDirectory(), 'a/b')
    makeLedger(directory)
    expect(statSync(directory).mode & 0o777).toBe(0o700)
  })

  it('is written through to the disk at each commit', () => {
    const directory = makeDirectory()
    makeLedger(directory).open(makeRecord())
    const reader = new Database(join(directory, 'ledger.db'), { readonly: true })
    expect(reader.pragma('journal_mode', { simple: true })).toBe('wal')
    reader.close()
  })

  it('of a newer version is left alone, and can be opened by one that knows it', () => {
    const directory = makeDirectory()
    openLedger(directory).close()
    const db = new Database(join(directory, 'ledger.db'))
    db.pragma('user_version = 99')
    db.close()
    const refused = () => openLedger(directory)
    expect(refused).toThrow(/schema version 99/)
    // Refused again for the same reason: the first refusal let go of the lock.
    expect(refused).toThrow(/schema version 99/)
  })

  it('that is no database is refused, not overwritten', () => {
    const directory = makeDirectory()
    writeFileSync(join(directory, 'ledger.db'), 'precious'.repeat(1000))
    expect(() => openLedger(directory)).toThrow(
      expect.objectContaining({ code: 'HW_LEDGER_UNAVAILABLE' }),
    )
    expect(statSync(join(directory, 'ledger.db')).size).toBe(8000)
  })

  it('is held by one ledger at a time', () => {
    const directory = makeDirectory()
    const first = openLedger(directory)
    expect(() => openLedger(directory)).toThrow(/another hepwrapd holds the ledger/)
    first.open(makeRecord()) // and the first is none the worse for it
    first.close()
    makeLedger(directory)
  })

  it('where its directory cannot be made is a clear refusal', () => {
    const directory = makeDirectory()
    writeFileSync(join(directory, 'file'), '')
    for (const path of [join(directory, 'file'), join(directory, 'file/below')])
      expect(() => openLedger(path)).toThrow(
        expect.objectContaining({ code: 'HW_LEDGER_UNAVAILABLE' }),
      )
    mkdirSync(join(directory, 'linked'))
    symlinkSync('/dev/full', join(directory, 'linked/ledger.db'))
    expect(() => openLedger(join(directory, 'linked'))).toThrow(
      expect.objectContaining({ code: 'HW_LEDGER_UNAVAILABLE' }),
    )
  })

  it('is proved writable by a probe that leaves no record', () => {
    const ledger = makeLedger()
    ledger.probe()
    ledger.probe()
    expect(read(ledger)).toEqual([])
  })

  it('is closed for good', () => {
    const ledger = openLedger(makeDirectory())
    ledger.close()
    expect(() => ledger.open(makeRecord())).toThrow(
      expect.objectContaining({ code: 'HW_LEDGER_UNAVAILABLE' }),
    )
  })
})

describe('reading', () => {
  /** Many at once, behind the ledger's back: each by itself would be a write to the disk. */
  const fill = (directory: string, count: number) => {
    const db = new Database(join(directory, 'ledger.db'))
    const names = RECORD_FIELDS.map((field) => `"${field}"`).join(', ')
    const insert = db.prepare(
      `INSERT INTO records (${names}) VALUES (${RECORD_FIELDS.map((field) => `@${field}`).join(', ')})`,
    )
    db.transaction(() => {
      for (let job = 1; job <= count; job++)
        insert.run(toRow(makeRecord({ job_id: job, state: 'COMPLETED' })))
    })()
    db.close()
  }

  it('goes page by page, sees no row twice and keeps no write waiting', () => {
    const directory = makeDirectory()
    const ledger = makeLedger(directory)
    fill(directory, 2503)
    const seen: (number | null)[] = []
    for (const page of ledger.read({}, EVERYBODY)) {
      expect(page.length).toBeLessThanOrEqual(1000)
      if (seen.length === 0) ledger.open(makeRecord({ job_id: 9999 }))
      seen.push(...page.map((record) => record.job_id))
    }
    expect(seen).toEqual([...Array.from({ length: 2503 }, (_, index) => index + 1), 9999])
  })

  it('looks at a bounded number of rows in one go, also where none matches', () => {
    const directory = makeDirectory()
    const ledger = makeLedger(directory)
    fill(directory, 2503)
    expect([...ledger.read({ image: 'nothing*' }, EVERYBODY)]).toEqual([[], [], []])
    expect([...ledger.read({ job: '2500' }, EVERYBODY)].map(({ length }) => length)).toEqual([
      0, 0, 1,
    ])
  })
})
