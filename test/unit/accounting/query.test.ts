// Which records a query means, and that none of its words is ever more than a word.
import { describe, expect, it } from 'vitest'
import type { RecordsQuery, UsageRecord } from '../../../src/wire/usage-api.js'
import { makeLedger, makeRecord } from './records.js'

const at = (clock: string) => `2026-01-31T${clock}:00.000Z`
const rows: Readonly<Record<string, Partial<UsageRecord>>> = {
  early: { job_id: 1, state: 'COMPLETED', created_at: at('08:00'), ended_at: at('09:00') },
  long: { job_id: 2, state: 'FAILED', created_at: at('08:30'), ended_at: at('12:00') },
  open: { job_id: 3, array_job_id: 30, array_task_id: 3, created_at: at('10:00') },
  bob: {
    job_id: 4,
    user: 'bob',
    uid: 2002,
    state: 'REFUSED',
    created_at: at('11:00'),
    ended_at: at('11:00'),
  },
  deep: {
    job_id: 30,
    image: 'reg.example:5000/a/b:1.0',
    state: 'CANCELLED',
    created_at: at('11:30'),
    ended_at: at('11:31'),
  },
  odd: {
    job_id: null,
    user: "o'h%_[x]\\",
    uid: 2003,
    image: 'a[b]%_?*',
    state: 'TIMEOUT',
    created_at: at('13:00'),
    ended_at: at('13:01'),
  },
}

let find: (query: RecordsQuery, uid?: number) => string[]

const open = () => {
  const ledger = makeLedger()
  const names = new Map<string, string>()
  for (const [name, fields] of Object.entries(rows)) {
    const record = makeRecord(fields)
    names.set(record.id, name)
    ledger.open(record)
  }
  find = (query, uid) =>
    [...ledger.read(query, { uid })].flat().map(({ id }) => names.get(id) ?? '')
}

describe('a query', () => {
  it.each<[RecordsQuery, string]>([
    [{}, 'early long open bob deep odd'],
    [{ job: '1' }, 'early'],
    [{ job: '1,4,99' }, 'early bob'],
    [{ job: '30' }, 'open deep'],
    [{ job: '0000000001' }, 'early'],
    [{ job: '9999999999' }, ''],
    [{ user: 'bob' }, 'bob'],
    [{ user: '2002' }, 'bob'],
    [{ user: '99999999999999999999' }, ''],
    [{ user: 'BOB' }, ''],
    [{ state: 'FAILED' }, 'long'],
    [{ state: 'failed,running' }, 'long open'],
    [{ image: 'busybox:test' }, 'early long open bob'],
    [{ image: 'busybox*' }, 'early long open bob'],
    [{ image: 'busybox' }, ''],
    [{ image: '*' }, 'early long open bob deep odd'],
    [{ image: 'reg.example:5000/*' }, 'deep'],
    [{ image: '*/?/b:*' }, 'deep'],
    [{ job: '1,2,3,4', state: 'FAILED,REFUSED', user: 'alice' }, 'long'],
  ])('%j finds %s', (query, expected) => {
    open()
    expect(find(query).join(' ')).toBe(expected)
  })

  it.each<[RecordsQuery, string]>([
    [{ since: at('09:00') }, 'early long open bob deep odd'],
    [{ since: at('09:01') }, 'long open bob deep odd'],
    [{ since: at('12:01') }, 'open odd'],
    [{ until: at('08:00') }, 'early'],
    [{ until: at('10:00') }, 'early long open'],
    [{ since: at('09:30'), until: at('10:30') }, 'long open'],
    [{ since: '2026-01-31T10:30:00+01:00', until: '2026-01-31T10:30:00Z' }, 'long open'],
    [{ since: '9999-12-31T23:59:59Z' }, 'open'],
    [{ until: '0001-01-01T00:00:00Z' }, ''],
  ])('%j takes a run for part of a period when any of it was: %s', (query, expected) => {
    open()
    expect(find(query).join(' ')).toBe(expected)
  })

  it('never reaches beyond the scope', () => {
    open()
    expect(find({}, 2002)).toEqual(['bob'])
    expect(find({ user: 'alice' }, 2002)).toEqual([])
    expect(find({ user: '2001' }, 2002)).toEqual([])
    expect(find({ user: "alice' OR uid=2001 --" }, 2002)).toEqual([])
  })
})

describe('a word of a query', () => {
  it.each([
    "' OR '1'='1",
    "'; DROP TABLE records; --",
    'x" OR 1=1 --',
    '%',
    '_',
    '*',
    'b?b',
    '@scope',
    '\0',
    'bob\0',
    '\\',
  ])('is only a word as a user: %j', (user) => {
    open()
    expect(find({ user })).toEqual([])
    expect(find({})).toHaveLength(6)
  })

  it('finds odd users by their very name', () => {
    open()
    expect(find({ user: "o'h%_[x]\\" })).toEqual(['odd'])
  })

  it.each([
    ['a[b]%_?*', 'odd'],
    ['a[b]*', 'odd'],
    ['a[[]b]*', ''],
    ['[a-z]*', ''],
    ['[^x]*', ''],
    ['%', ''],
    ["busy'box", ''],
    ["*' OR '1'='1", ''],
    ['[', ''],
    [']', ''],
  ])('as an image has no glob but * and ?: %j', (image, expected) => {
    open()
    expect(find({ image }).join(' ')).toBe(expected)
  })

  it.each(['RUNING', '', 'FAILED,', "FAILED') OR 1=1 --", '__proto__', 'RUNNING\0', 'constructor'])(
    'as a state is one of ours: %j',
    (state) => {
      open()
      expect(() => find({ state })).toThrow(expect.objectContaining({ code: 'HW_OPTION_INVALID' }))
    },
  )

  it.each([
    'yesterday',
    '',
    "2026-01-31' OR 1=1 --",
    '2026-01-31',
    '31 Jan 2026',
    '1',
    '2026-01-31T12:00',
    '2026-02-31T12:00:00Z',
    '+275760-09-13T00:00:00.000Z',
    '2026-01-31T25:00:00Z',
    '2026-13-01T00:00:00Z',
    '2026-01-31T12:00:00Z\n',
  ])('as a time is RFC 3339: %j', (time) => {
    open()
    for (const query of [{ since: time }, { until: time }])
      expect(() => find(query)).toThrow(expect.objectContaining({ code: 'HW_OPTION_INVALID' }))
  })

  it('as an image costs no more than its length', () => {
    const ledger = makeLedger()
    ledger.open(makeRecord({ image: 'a'.repeat(1024) }))
    const startedAt = performance.now()
    expect([...ledger.read({ image: '*a'.repeat(511) + 'b' }, { uid: undefined })].flat()).toEqual(
      [],
    )
    expect([...ledger.read({ image: '?*'.repeat(511) + 'b' }, { uid: undefined })].flat()).toEqual(
      [],
    )
    expect(performance.now() - startedAt).toBeLessThan(1000)
  })
})
