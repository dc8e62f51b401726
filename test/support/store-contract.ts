// What every store must do, as one table of cases for all databases.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Store, UsageFilter, UsageQuestion } from '../../src/store/store.js'
import type { NodeRow } from '../../src/wire/ingest-api.js'
import type { UsageKey } from '../../src/wire/report-api.js'
import type { UsageRecord } from '../../src/wire/usage-api.js'
import {
  ended,
  LEDGER,
  loose,
  ONE,
  OTHER_LEDGER,
  ranged,
  RECEIVED_MS,
  sequenced,
} from './store-records.js'

const EVERYBODY = { uid: undefined }
const ALL = { after: undefined, limit: 1000 }

export const describeStore = (name: string, open: () => Promise<Store>): void =>
  void describe(name, () => cases(name, open))

function cases(name: string, open: () => Promise<Store>): void {
  let store: Store
  beforeEach(async () => {
    store = await open()
  })
  afterEach(async () => store.close())

  const ingest = async (...batches: Parameters<Store['ingest']>[0]) => store.ingest(batches)
  const kept = async () => (await store.records({}, EVERYBODY, ALL)).records
  const usage = async (
    by: readonly UsageKey[] = [],
    filter: UsageFilter = {},
    top?: UsageQuestion['top'],
    scope: { uid: number | undefined } = EVERYBODY,
  ) => store.usage({ by, filter, top }, scope)
  const runsBy = async (by: UsageKey, filter: UsageFilter = {}) =>
    Object.fromEntries((await usage([by], filter)).map((row) => [row[by] ?? 'null', row.runs]))

  describe(`${name}: batches`, () => {
    it('are kept as they came, by the time of creation', async () => {
      const late = ended({
        created_at: '2026-01-31T12:00:00.007Z',
        labels: { 'a b': '"\\\u0007é€😀' },
        command: "'; DROP TABLE records; --",
        cpus: 0.5,
        io_read_bytes: Number.MAX_SAFE_INTEGER,
      })
      const early = ended({ created_at: '2026-01-31T11:59:59.999Z', account: null, user: null })
      expect(await ingest(loose(late, early))).toEqual([
        {
          kind: 'applied',
          inserted: 2,
          changed: 0,
          corrected: 0,
          foreign: 0,
          duplicates: 0,
          acked: undefined,
          remarks: [],
        },
      ])
      expect(await kept()).toEqual([early, late])
    })

    it('of a ledger are acknowledged, and change nothing the second time', async () => {
      const batch = ranged(0, [ended(), ended()])
      const first = { kind: 'first-ledger', previous: undefined }
      expect(await ingest(batch)).toEqual([
        {
          kind: 'applied',
          inserted: 2,
          changed: 0,
          corrected: 0,
          foreign: 0,
          duplicates: 0,
          acked: 2,
          remarks: [first],
        },
      ])
      expect(await ingest(batch, batch)).toEqual([
        {
          kind: 'applied',
          inserted: 0,
          changed: 0,
          corrected: 0,
          foreign: 0,
          duplicates: 2,
          acked: 2,
          remarks: [],
        },
        {
          kind: 'applied',
          inserted: 0,
          changed: 0,
          corrected: 0,
          foreign: 0,
          duplicates: 2,
          acked: 2,
          remarks: [],
        },
      ])
      expect(await usage()).toEqual([{ ...ONE, ...times(ONE, 2) }])
    })

    it('beyond a gap are not taken, and say where the gap begins', async () => {
      const [a, b, c] = [ended(), ended(), ended()]
      expect(await ingest(ranged(5, [c]))).toEqual([{ kind: 'gap', acked: 0 }])
      expect(await store.ledgers()).toEqual([])
      await ingest(ranged(0, [a, b]))
      expect(await ingest(ranged(3, [c]), ranged(2, [c]))).toMatchObject([
        { kind: 'gap', acked: 2 },
        { kind: 'applied', inserted: 1, acked: 3 },
      ])
      expect(await kept()).toHaveLength(3)
    })

    it('may be empty and still go on: records that changed again leave their numbers empty', async () => {
      expect(await ingest(ranged(0, [], { upto: 7 }))).toMatchObject([
        { kind: 'applied', inserted: 0, acked: 7 },
      ])
      expect(await ingest(ranged(7, [ended()]))).toMatchObject([{ kind: 'applied', acked: 8 }])
    })

    it('that end before what is acknowledged take nothing back', async () => {
      await ingest(ranged(0, [ended(), ended(), ended()]))
      expect(await ingest(ranged(0, [], { upto: 1 }))).toMatchObject([{ acked: 3 }])
    })

    it('that cannot be read as records leave nothing behind, of others neither', async () => {
      const broken = { ...ended(), created_at: 'yesterday' }
      await expect(ingest(loose(ended()), loose(broken))).rejects.toMatchObject({
        code: 'HW_REQUEST_INVALID',
      })
      expect(await kept()).toEqual([])
    })

    it('with the id of another node’s record leave that as it is, by a ledger or without', async () => {
      const theirs = ended()
      await ingest(ranged(0, [theirs]))
      const evil = { ...theirs, node: 'n2', cpu_user_usec: 0 }
      const other = { node: 'n2', ledger: OTHER_LEDGER }
      const elsewhere = { ...theirs, cluster: 'other' }
      expect(await ingest(loose(evil), ranged(0, [evil], other), loose(elsewhere))).toMatchObject(
        Array.from({ length: 3 }, () => ({ inserted: 0, changed: 0, duplicates: 0, foreign: 1 })),
      )
      expect(await kept()).toEqual([theirs])
      expect(await usage()).toEqual([ONE])
    })

    it('tell records that were corrected from those that ended', async () => {
      const done = ended()
      const running = { ...done, state: 'RUNNING' as const, ended_at: null }
      await ingest(ranged(0, [running]))
      expect(await ingest(ranged(1, [done]))).toMatchObject([{ changed: 1, corrected: 0 }])
      const better = { ...done, cpu_user_usec: 1 }
      expect(await ingest(ranged(2, [better]))).toMatchObject([{ changed: 1, corrected: 1 }])
    })

    it('with texts that a database cannot hold are kept as near as can be', async () => {
      await ingest(loose(ended({ command: 'a\0b\ud800c', image: '\udfff' })))
      const [record] = await kept()
      expect(record).toMatchObject({ command: 'a\ufffdb\ufffdc', image: '\ufffd' })
    })
  })

  describe(`${name}: one record twice`, () => {
    const running = (fields: Partial<UsageRecord>) =>
      ended({ state: 'RUNNING', ended_at: null, exit_code: null, ...fields })
    const id = 'c'.repeat(32)
    const cases: {
      what: string
      send: (kept: UsageRecord, next: UsageRecord) => Parameters<Store['ingest']>[0]
      kept: UsageRecord
      next: UsageRecord
      wins: 'kept' | 'next'
    }[] = [
      {
        what: 'a later change of the same ledger replaces',
        send: (a, b) => [ranged(0, [a]), ranged(1, [b])],
        kept: running({ id }),
        next: ended({ id }),
        wins: 'next',
      },
      {
        what: 'a later change of the same ledger replaces even what had ended',
        send: (a, b) => [ranged(0, [a]), ranged(1, [b])],
        kept: ended({ id }),
        next: running({ id }),
        wins: 'next',
      },
      {
        what: 'an earlier change of the same ledger is a duplicate, whatever it says',
        send: (a, b) => [
          ranged(0, [ended(), a]),
          { ...ranged(0, [], { upto: 1 }), records: [sequenced(b, 1)] },
        ],
        kept: ended({ id }),
        next: running({ id }),
        wins: 'kept',
      },
      {
        what: 'of two ledgers RUNNING never replaces what has ended',
        send: (a, b) => [ranged(0, [a]), ranged(0, [b], { ledger: OTHER_LEDGER })],
        kept: ended({ id }),
        next: running({ id }),
        wins: 'kept',
      },
      {
        what: 'of two ledgers what has ended stays: the other is a copy that was put back',
        send: (a, b) => [ranged(0, [a]), ranged(0, [b], { ledger: OTHER_LEDGER })],
        kept: ended({ id }),
        next: ended({ id, state: 'NODE_FAIL', exit_code: 1, cpu_user_usec: 7 }),
        wins: 'kept',
      },
      {
        what: 'without a ledger RUNNING never replaces what has ended',
        send: (a, b) => [loose(a), loose(b)],
        kept: ended({ id }),
        next: running({ id }),
        wins: 'kept',
      },
      {
        what: 'without a ledger a correction replaces',
        send: (a, b) => [ranged(0, [a]), loose(b)],
        kept: ended({ id }),
        next: ended({ id, user: 'bob', uid: 2002, ended_at: '2026-02-28T23:59:59.999Z' }),
        wins: 'next',
      },
      {
        what: 'a correction by hand outlives that its ledger sends again',
        send: (a, b) => [ranged(0, [a]), loose(b), ranged(0, [a])],
        kept: ended({ id }),
        next: ended({ id, account: 'higgs' }),
        wins: 'next',
      },
      {
        what: 'both in one batch',
        send: (a, b) => [ranged(0, [a, b])],
        kept: running({ id }),
        next: ended({ id }),
        wins: 'next',
      },
    ]
    it.each(cases)('$what', async ({ send, kept: first, next, wins }) => {
      const expected = wins === 'next' ? next : first
      await ingest(...send(first, next))
      expect((await kept()).filter((record) => record.id === id)).toEqual([expected])
      const others = (await kept()).filter((record) => record.id !== id)
      const counted = [expected, ...others].filter(({ state }) => state !== 'RUNNING')
      expect((await usage()).map(({ runs }) => runs)).toEqual(
        counted.length === 0 ? [] : [counted.length],
      )
      expect(await runsBy('user')).toEqual(
        counted.length === 0 ? {} : tallied(counted.map(({ user }) => user ?? 'null')),
      )
      expect(await runsBy('month')).toEqual(
        tallied(counted.map(({ ended_at }) => `${ended_at!.slice(0, 7)}-01T00:00:00.000Z`)),
      )
    })
  })

  describe(`${name}: ledgers`, () => {
    const remarks = async (batch: Parameters<Store['ingest']>[0][number]) => {
      const [outcome] = await ingest(batch)
      return outcome?.kind === 'applied' ? outcome.remarks : 'gap'
    }

    it('are told apart: the first, a new one, and an old one that sends again', async () => {
      expect(await remarks(ranged(0, [ended()]))).toEqual([
        { kind: 'first-ledger', previous: undefined },
      ])
      expect(await remarks(ranged(1, [ended()]))).toEqual([])
      expect(await remarks(ranged(0, [ended()], { ledger: OTHER_LEDGER }))).toEqual([
        { kind: 'new-ledger', previous: LEDGER },
      ])
      expect(await remarks(ranged(1, [ended()], { ledger: OTHER_LEDGER }))).toEqual([])
      expect(await remarks(ranged(2, [ended()]))).toEqual([
        { kind: 'two-ledgers', previous: OTHER_LEDGER },
      ])
      expect(await remarks(ranged(0, [ended()], { node: 'n2' }))).toEqual([
        { kind: 'first-ledger', previous: undefined },
      ])
      expect(await usage()).toMatchObject([{ runs: 6 }])
    })

    it('are listed with what they have acknowledged', async () => {
      await ingest(ranged(0, [ended(), ended()]))
      await ingest({ ...ranged(2, [ended()]), receivedAtMs: RECEIVED_MS + 1000 })
      expect(await store.ledgers()).toEqual([
        {
          cluster: 'hepp',
          node: 'n1',
          ledger: LEDGER,
          acked: 3,
          firstSeenMs: RECEIVED_MS,
          lastSeenMs: RECEIVED_MS + 1000,
        },
      ])
    })
  })

  describe(`${name}: records`, () => {
    const at = (iso: string, fields: Partial<UsageRecord> = {}) =>
      ended({ created_at: iso, started_at: iso, ended_at: iso, ...fields })
    const day = (number: number) => `2026-03-${String(number).padStart(2, '0')}T00:00:00.000Z`
    const found = async (filter: Parameters<Store['records']>[0], uid?: number) =>
      (await store.records(filter, { uid }, ALL)).records.map(({ name: label }) => label)

    it('come in pages that stay good while records come', async () => {
      const records = Array.from({ length: 10 }, (_, index) => at(day(10 + (index >> 1))))
      await ingest(loose(...records))
      const seen: UsageRecord[] = []
      let after: string | undefined
      for (let pages = 0; ; pages++) {
        const page = await store.records({}, EVERYBODY, { after, limit: 3 })
        seen.push(...page.records)
        await ingest(loose(at(day(1)), ended({ ...records[9], command: 'changed' })))
        if (page.next === undefined) break
        expect(pages).toBeLessThan(5)
        after = page.next
      }
      expect(seen.map(({ id }) => id)).toEqual(records.map(({ id }) => id))
    })

    it('end with a page that says so', async () => {
      await ingest(loose(at(day(1)), at(day(2))))
      const page = async (limit: number) =>
        store.records({}, EVERYBODY, { after: undefined, limit })
      expect((await page(1)).next).toBeDefined()
      expect((await page(2)).next).toBeUndefined()
    })

    it('refuse a cursor that is not theirs', async () => {
      const page = { after: "1_1' OR 1=1", limit: 1 }
      await expect(store.records({}, EVERYBODY, page)).rejects.toMatchObject({
        code: 'HW_OPTION_INVALID',
      })
    })

    it('are found by each filter, and by whose they are', async () => {
      await ingest(
        loose(
          at(day(1), { name: 'a', job_id: 1, user: 'alice', account: 'x', image: 'root:6' }),
          at(day(2), { name: 'b', job_id: 2, user: 'bob', uid: 2002, image: 'a[b]c%_:1' }),
          at(day(3), { name: 'c', job_id: 3, array_job_id: 1, node: 'n2', partition: 'long' }),
          at(day(4), { name: 'd', job_id: 4, user: null, account: null, cluster: 'other' }),
          at(day(5), { name: 'e', job_id: 5, state: 'RUNNING', ended_at: null, user: '2002' }),
        ),
      )
      expect(await found({ jobs: [1, 4] })).toEqual(['a', 'c', 'd'])
      expect(await found({ users: ['b?b', 'alice'] })).toEqual(['a', 'b', 'c'])
      expect(await found({ users: ['2002'] })).toEqual(['b', 'e'])
      expect(await found({ users: ['*'] })).toEqual(['a', 'b', 'c', 'e'])
      expect(await found({ accounts: ['x'] })).toEqual(['a'])
      expect(await found({ images: ['root:*'] })).toEqual(['a'])
      expect(await found({ images: ['a[b]c%_:*'] })).toEqual(['b'])
      expect(await found({ images: ['a[b]c?*1'] })).toEqual(['b'])
      expect(await found({ images: ['ROOT:*', 'a%'] })).toEqual([])
      expect(await found({ nodes: ['n2'] })).toEqual(['c'])
      expect(await found({ clusters: ['oth*'] })).toEqual(['d'])
      expect(await found({ partitions: ['long'] })).toEqual(['c'])
      expect(await found({ states: ['RUNNING'] })).toEqual(['e'])
      expect(await found({ states: ['RUNNING', 'COMPLETED'], accounts: ['x'] })).toEqual(['a'])
      expect(await found({ users: [], jobs: [] })).toHaveLength(5)
      expect(await found({}, 2002)).toEqual(['b'])
      expect(await found({ users: ['alice'] }, 2002)).toEqual([])
    })

    it('are of a period when any part of the run is, however long it ran', async () => {
      await ingest(
        loose(
          at(day(1), { name: 'ended before' }),
          at(day(1), { name: 'month', ended_at: '2026-03-31T00:00:00.000Z' }),
          at(day(2), { name: 'running', state: 'RUNNING', ended_at: null }),
          at(day(18), { name: 'two days', ended_at: day(20) }),
          at(day(20), { name: 'within' }),
          at(day(22), { name: 'at the end' }),
          at(day(23), { name: 'after' }),
        ),
      )
      const between = { sinceMs: Date.parse(day(20)), untilMs: Date.parse(day(22)) }
      const expected = ['month', 'running', 'two days', 'within', 'at the end']
      expect(await found(between)).toEqual(expected)
      const seen: (string | null)[] = []
      for (let after: string | undefined; ;) {
        const page = await store.records(between, EVERYBODY, { after, limit: 1 })
        seen.push(...page.records.map(({ name: label }) => label))
        if (page.next === undefined) break
        after = page.next
      }
      expect(seen).toEqual(expected)
    })
  })

  describe(`${name}: usage`, () => {
    const hour = (iso: string, fields: Partial<UsageRecord> = {}) =>
      ended({ ended_at: iso, started_at: null, ...fields })

    it('has exact sums, by every key', async () => {
      await ingest(
        loose(
          ended(),
          ended({ user: 'bob', uid: 2002, account: null, image: 'root', node: 'n2', cluster: 'b' }),
          ended({ state: 'FAILED', exit_code: 3 }),
          ended({
            state: 'REFUSED',
            started_at: null,
            cpus: null,
            cpu_user_usec: null,
            cpu_system_usec: null,
            memory_peak_bytes: null,
            io_read_bytes: null,
            io_write_bytes: null,
          }),
          ended({ state: 'RUNNING', ended_at: null }),
        ),
      )
      const three = times(ONE, 3)
      expect(await usage()).toEqual([{ ...three, runs: 4, failed: 1, refused: 1 }])
      expect(await usage(['user'])).toEqual([
        { user: 'alice', ...times(ONE, 2), runs: 3, failed: 1, refused: 1 },
        { user: 'bob', ...ONE },
      ])
      expect(await runsBy('cluster')).toEqual({ b: 1, hepp: 3 })
      expect(await runsBy('account')).toEqual({ null: 1, physics: 3 })
      expect(await runsBy('image')).toEqual({ 'busybox:test': 3, root: 1 })
      expect(await runsBy('node')).toEqual({ n1: 3, n2: 1 })
      expect(await runsBy('state')).toEqual({ COMPLETED: 2, FAILED: 1, REFUSED: 1 })
      expect(await runsBy('hour')).toEqual({ '2026-01-31T13:00:00.000Z': 4 })
      expect(await runsBy('day')).toEqual({ '2026-01-31T00:00:00.000Z': 4 })
      expect(await runsBy('week')).toEqual({ '2026-01-26T00:00:00.000Z': 4 })
      expect(await runsBy('month')).toEqual({ '2026-01-01T00:00:00.000Z': 4 })
    })

    it('is by several keys, those too that no rollup has together', async () => {
      await ingest(
        loose(
          ended(),
          ended({ user: 'bob', uid: 2002 }),
          ended({ user: 'bob', uid: 2002, node: 'n2' }),
        ),
      )
      expect(
        (await usage(['user', 'node', 'day'])).map(({ user, node, day, runs }) => [
          user,
          node,
          day,
          runs,
        ]),
      ).toEqual([
        ['alice', 'n1', '2026-01-31T00:00:00.000Z', 1],
        ['bob', 'n1', '2026-01-31T00:00:00.000Z', 1],
        ['bob', 'n2', '2026-01-31T00:00:00.000Z', 1],
      ])
      expect(await usage(['image', 'user', 'state'])).toEqual([
        { image: 'busybox:test', user: 'alice', state: 'COMPLETED', ...ONE },
        { image: 'busybox:test', user: 'bob', state: 'COMPLETED', ...times(ONE, 2) },
      ])
      expect(await usage(['node', 'state'], { states: ['COMPLETED'], nodes: ['n2'] })).toEqual([
        { node: 'n2', state: 'COMPLETED', ...ONE },
      ])
    })

    it('is of the hours asked for, and no others, whatever the period', async () => {
      const hours = [
        '2025-12-31T23:59:59.999Z',
        '2026-01-01T00:00:00.000Z',
        '2026-01-04T23:10:00.000Z',
        '2026-01-05T00:00:00.000Z',
        '2026-02-28T10:00:00.000Z',
        '2026-03-01T09:59:59.999Z',
        '2026-03-01T10:00:00.000Z',
      ]
      await ingest(loose(...hours.map((iso) => hour(iso))))
      const within = {
        sinceMs: Date.parse('2026-01-01T00:30:00Z'),
        untilMs: Date.parse('2026-03-01T10:30:00Z'),
      }
      for (const [by, filter] of [
        [[], {}],
        [['user'], {}],
        [['node'], {}],
        [['user', 'node'], {}],
      ] as const)
        expect(await usage(by, { ...within, ...filter })).toMatchObject([{ runs: 5 }])
      expect(await runsBy('month', within)).toEqual({
        '2026-01-01T00:00:00.000Z': 3,
        '2026-02-01T00:00:00.000Z': 1,
        '2026-03-01T00:00:00.000Z': 1,
      })
      expect(await runsBy('week', within)).toEqual({
        '2025-12-29T00:00:00.000Z': 2,
        '2026-01-05T00:00:00.000Z': 1,
        '2026-02-23T00:00:00.000Z': 2,
      })
      expect(await runsBy('week')).toEqual({
        '2025-12-29T00:00:00.000Z': 3,
        '2026-01-05T00:00:00.000Z': 1,
        '2026-02-23T00:00:00.000Z': 3,
      })
      expect(await usage([], { sinceMs: within.untilMs, untilMs: within.sinceMs })).toEqual([])
    })

    it('shows the top ones, within each period where there is one', async () => {
      const of = (user: string, iso: string, io: number) =>
        hour(iso, { user, io_read_bytes: io, io_write_bytes: 0 })
      await ingest(
        loose(
          of('a', '2026-01-01T00:00:00Z', 1),
          of('b', '2026-01-01T00:00:00Z', 3),
          of('c', '2026-01-01T00:00:00Z', 3),
          of('a', '2026-01-02T00:00:00Z', 9),
        ),
      )
      const top = { count: 2, sort: 'io_bytes' } as const
      for (const keys of [['user'], ['user', 'node']] as const) {
        expect((await usage(keys, {}, top)).map(({ user }) => user)).toEqual(['a', 'b'])
        const daily = await usage(['day', ...keys], {}, top)
        expect(daily.map(({ day, user }) => [day?.slice(8, 10), user])).toEqual([
          ['01', 'b'],
          ['01', 'c'],
          ['02', 'a'],
        ])
      }
    })

    it('is of one user where that is all that may be seen', async () => {
      await ingest(loose(ended(), ended({ user: 'bob', uid: 2002, node: 'n2' })))
      for (const by of ['user', 'account', 'image', 'node', 'state', 'day', 'hour'] as const) {
        expect(await usage([by], {}, undefined, { uid: 2002 })).toMatchObject([ONE])
        expect(await usage([by], {}, undefined, { uid: 7 })).toEqual([])
      }
      expect(await usage(['node'], {}, undefined, { uid: 2002 })).toMatchObject([{ node: 'n2' }])
      expect(await usage(['user'], { users: ['alice'] }, undefined, { uid: 2002 })).toEqual([])
    })

    it('is filtered by names and globs', async () => {
      await ingest(
        loose(ended(), ended({ user: 'bob', image: 'x[1]%', account: 'higgs', node: 'n2' })),
      )
      for (const filter of [
        { users: ['b*'] },
        { images: ['x[1]?'] },
        { accounts: ['higgs'] },
        { nodes: ['n2', 'zz'] },
        { users: ['bob'], nodes: ['*2'] },
      ])
        expect(await usage([], filter)).toEqual([ONE])
      expect(await usage([], { clusters: ['nope'] })).toEqual([])
    })

    it('has no row for what was corrected away', async () => {
      const id = 'd'.repeat(32)
      await ingest(loose(ended({ id, user: 'mallory' })))
      await ingest(loose(ended({ id, user: 'alice' })))
      for (const period of [[], ['hour'], ['day'], ['month']] as const)
        expect(await usage(['user', ...period])).toMatchObject([{ user: 'alice', runs: 1 }])
    })

    it('adds up beyond what a node may make up', async () => {
      const huge = {
        cpu_user_usec: Number.MAX_SAFE_INTEGER,
        io_read_bytes: Number.MAX_SAFE_INTEGER,
      }
      for (let round = 0; round < 3; round++)
        await ingest(loose(...Array.from({ length: 4000 }, () => ended(huge))))
      const [row] = await usage()
      expect(row?.runs).toBe(12_000)
      expect(row?.io_read_bytes).toBeGreaterThanOrEqual(1e17)
      await ingest(loose(ended({ user: 'bob' })))
      expect(await usage([], { users: ['bob'] })).toEqual([ONE])
    })

    it('takes a batch of records that are absurd together', async () => {
      const absurd = Array.from({ length: 9000 }, () => ended({ io_read_bytes: 2 ** 53 - 1 }))
      const [outcome] = await ingest(ranged(0, absurd))
      expect(outcome).toMatchObject({ kind: 'applied', inserted: 9000 })
      expect(await usage()).toMatchObject([{ runs: 9000 }])
    })

    it('takes names that no index holds', async () => {
      const image = Array.from({ length: 1024 }, (_, at) =>
        String.fromCharCode(0x4e00 + ((at * 7919) % 20_000)),
      ).join('')
      const [outcome] = await ingest(ranged(0, [ended({ image })]))
      expect(outcome).toMatchObject({ kind: 'applied', inserted: 1 })
      expect(await usage(['image'])).toMatchObject([{ image: image.slice(0, 512), runs: 1 }])
    })

    it('refuses two periods', async () => {
      await expect(usage(['day', 'hour'])).rejects.toMatchObject({ code: 'HW_OPTION_INVALID' })
    })
  })

  describe(`${name}: what expires`, () => {
    const old = (fields: Partial<UsageRecord> = {}) => ended(fields)
    const later = (fields: Partial<UsageRecord> = {}) =>
      ended({
        created_at: '2026-06-01T00:00:00.000Z',
        started_at: '2026-06-01T00:00:00.000Z',
        ended_at: '2026-06-02T00:00:00.000Z',
        ...fields,
      })
    const before = Date.parse('2026-05-01T00:00:00Z')

    it('is gone, oldest first and so many at a time, and stays in the sums', async () => {
      const records = [old(), old({ ended_at: '2026-01-31T14:00:00.000Z' }), later()]
      await ingest(loose(...records, old({ state: 'RUNNING', ended_at: null })))
      const sums = await usage(['day', 'user'])
      expect(await store.expire(before, 1)).toBe(1)
      expect((await kept()).map(({ id }) => id)).not.toContain(records[0]?.id)
      expect(await store.expire(before, 1000)).toBe(1)
      expect(await store.expire(before, 1000)).toBe(0)
      expect((await kept()).map(({ state }) => state)).toEqual(['RUNNING', 'COMPLETED'])
      expect(await usage(['day', 'user'])).toEqual(sums)
    })

    it('is not counted again when it comes again, corrected or not', async () => {
      const record = old()
      await ingest(ranged(0, [record]), loose(later()))
      await store.expire(before, 1000)
      const sums = await usage(['day', 'user'])
      const moved = { ...record, ended_at: '2026-07-01T00:00:00.000Z' }
      expect(
        await ingest(
          ranged(0, [record]),
          loose(record),
          loose({ ...record, state: 'FAILED' }),
          ranged(1, [moved]),
        ),
      ).toMatchObject([
        { duplicates: 1, inserted: 0 },
        { duplicates: 1 },
        { duplicates: 1 },
        { duplicates: 1, acked: 2 },
      ])
      expect(await usage(['day', 'user'])).toEqual(sums)
      expect(await kept()).toHaveLength(1)
    })

    it('makes no room for a mistake: what is as old and new is taken', async () => {
      await ingest(loose(old()))
      await store.expire(before, 1000)
      expect(await ingest(loose(old()))).toMatchObject([{ inserted: 1 }])
      expect(await usage()).toMatchObject([{ runs: 2 }])
    })
  })

  describe(`${name}: facts`, () => {
    const facts = (fields: Partial<NodeRow> = {}): NodeRow => ({
      cluster: 'hepp',
      node: 'n1',
      since: '2026-01-01T00:00:00.000Z',
      cpu_model: 'EPYC',
      sockets: 2,
      cores: 128,
      threads: 256,
      memory_bytes: 2 ** 40,
      kernel: '6.18',
      os: 'Debian 12',
      engine: 'docker',
      engine_version: '20.10.24',
      hepwrap_version: '0.1.0',
      hepscore: 1234.5,
      ...fields,
    })

    it('are kept once a change, the same time again replaces', async () => {
      const [first, second] = [facts(), facts({ since: '2026-02-01T00:00:00.000Z', cores: 64 })]
      await store.putFacts(second)
      await store.putFacts(facts({ cores: 1 }))
      await store.putFacts(first)
      await store.putFacts(facts({ node: 'a1' }))
      expect(await store.facts({})).toEqual([facts({ node: 'a1' }), first, second])
      expect(await store.facts({ nodes: ['n*'], clusters: ['hepp'] })).toEqual([first, second])
      expect(await store.facts({ clusters: ['nope'] })).toEqual([])
    })
  })

  it(`${name}: proves that it writes`, async () => {
    await store.probe()
    expect(store.description).toMatch(/^(?:sqlite|postgres)/)
  })
}

const times = (sums: typeof ONE, by: number): typeof ONE =>
  Object.fromEntries(Object.entries(sums).map(([key, value]) => [key, value * by])) as typeof ONE

function tallied(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1
  return counts
}
