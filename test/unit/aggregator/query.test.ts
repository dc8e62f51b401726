// Filters from their text to what the store is asked.
import { describe, expect, it } from 'vitest'
import { checkedQuery, recordsFilter, usageQuestion } from '../../../src/aggregator/query.js'
import { BatchQuery } from '../../../src/wire/ingest-api.js'
import { SiteRecordsQuery, UsageQuery } from '../../../src/wire/report-api.js'

const records = (query: Record<string, unknown>) =>
  recordsFilter(checkedQuery(SiteRecordsQuery, query, 'HW_OPTION_INVALID'))
const usage = (query: Record<string, unknown>) =>
  usageQuestion(checkedQuery(UsageQuery, query, 'HW_OPTION_INVALID'))

describe('records', () => {
  it('are asked for by what is given, and nothing else', () => {
    expect(records({})).toEqual({})
    expect(
      records({
        job: '1,2',
        user: 'alice, bob',
        account: 'a*',
        image: 'x',
        node: 'n1',
        cluster: 'c',
        partition: 'p',
        state: 'failed,TIMEOUT',
        since: '2026-01-31T12:00:00Z',
        until: '2026-01-31T13:00:00+01:00',
        limit: '10',
        cursor: 'abc',
      }),
    ).toEqual({
      jobs: [1, 2],
      users: ['alice', 'bob'],
      accounts: ['a*'],
      images: ['x'],
      nodes: ['n1'],
      clusters: ['c'],
      partitions: ['p'],
      states: ['FAILED', 'TIMEOUT'],
      sinceMs: Date.UTC(2026, 0, 31, 12),
      untilMs: Date.UTC(2026, 0, 31, 12),
    })
  })

  it.each([
    [{ usr: 'alice' }, /there is no filter "usr"; there are job, user,/],
    [{ user: '' }, /^user "": /],
    [{ user: ['a', 'b'] }, /^user \["a","b"\]: /],
    [{ job: 'x' }, /^job "x": /],
    [{ job: '1;DROP' }, /^job "1;DROP": /],
    [{ state: 'DONE' }, /^unknown state "DONE"; one of RUNNING, /],
    [{ since: 'yesterday' }, /^since "yesterday" is not a time as RFC 3339 writes it/],
    [{ since: '2026-02-31T00:00:00Z' }, /^since "2026-02-31T00:00:00Z" is not a time/],
    [{ until: '2026-01-31' }, /^until "2026-01-31" is not a time/],
    [{ until: '2026-01-31T12:00:00 01:00' }, /^until .* is not a time/],
    [{ user: 'a\u0000b' }, /^"a.u0000b" is no name: it has control characters/],
    [{ limit: '0' }, /^limit 0: /],
    [{ limit: '1e3' }, /^limit "1e3": /],
    [{ limit: '100000' }, /^limit 100000: /],
  ])('are refused for %j', (query, message) => {
    expect(() => records(query)).toThrow(message)
    expect(() => records(query)).toThrow(
      expect.objectContaining({ code: 'HW_OPTION_INVALID' }) as Error,
    )
  })
})

describe('usage', () => {
  it('is asked for by its keys, in whole hours', () => {
    expect(usage({})).toEqual({ by: [], filter: {}, top: undefined })
    expect(
      usage({
        by: 'user,day,user',
        since: '2026-01-31T12:59:59Z',
        until: '2026-01-31T13:00:00Z',
        top: '10',
        sort: 'runs',
      }),
    ).toEqual({
      by: ['user', 'day'],
      filter: { sinceMs: Date.UTC(2026, 0, 31, 12), untilMs: Date.UTC(2026, 0, 31, 13) },
      top: { count: 10, sort: 'runs' },
    })
    expect(usage({ top: '1' }).top).toEqual({ count: 1, sort: 'cpu_usec' })
  })

  it.each([
    [{ by: 'userr' }, /^by "userr": it can be by cluster, user/],
    [{ by: 'day,week' }, /^by "day,week": one of hour, day, week, month at most/],
    [{ by: 'user;' }, /^by "user;": /],
    [{ sort: 'name' }, /^sort "name": /],
    [{ top: '0' }, /^top 0: /],
    [{ partition: 'main' }, /there is no filter "partition"/],
  ])('is refused for %j', (query, message) => {
    expect(() => usage(query)).toThrow(message)
  })
})

it('the range of a batch is whole numbers', () => {
  const ledger = 'a'.repeat(32)
  expect(
    checkedQuery(BatchQuery, { ledger, after: '0', upto: '12' }, 'HW_REQUEST_INVALID'),
  ).toEqual({
    ledger,
    after: 0,
    upto: 12,
  })
  for (const after of ['-1', '1.5', '0x1', '99999999999999999'])
    expect(() => checkedQuery(BatchQuery, { after }, 'HW_REQUEST_INVALID')).toThrow(/^after /)
})
