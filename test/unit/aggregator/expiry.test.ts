// Retention as the aggregator does it: what ended too long ago goes, and a clock that is wrong takes nothing with it.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { expireOnce } from '../../../src/aggregator/expiry.js'
import type { Store } from '../../../src/store/store.js'
import { ended, LEDGER, ONE, sequenced } from '../../support/store-records.js'
import { openStoreHere } from '../../support/store-here.js'

const DAY_MS = 86_400_000
const NOW = Date.parse('2026-03-01T00:00:00Z')

let directory: string
let store: Store
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'hepwrap-expiry-'))
  store = openStoreHere(join(directory, 'aggregator.db'))
})
afterEach(async () => {
  await store.close()
  rmSync(directory, { recursive: true })
})

async function expire(days: number, nowMs = NOW) {
  let expired = 0
  await expireOnce(
    {
      store,
      clock: { nowMs: () => nowMs, monotonicMs: () => 0 },
      log: pino({ level: 'silent' }),
      metrics: { expired: { inc: (count: number) => void (expired += count) } } as never,
    },
    days * DAY_MS,
  )
  return expired
}

async function fill(count: number, endedAt: string) {
  const records = Array.from({ length: count }, (_, at) =>
    sequenced(ended({ id: `${endedAt.slice(0, 10)}-${at}`, ended_at: endedAt }), at + 1),
  )
  const range = { cluster: 'hepp', node: 'n1', ledger: LEDGER, after: 0, upto: count }
  await store.ingest([{ range, records, receivedAtMs: NOW }])
}

const kept = async () => {
  const page = { after: undefined, limit: 10_000 }
  return (await store.records({}, { uid: undefined }, page)).records.length
}
const runs = async () => {
  const question = { by: [], filter: {}, top: undefined }
  const [row] = await store.usage(question, { uid: undefined })
  return row?.runs
}

describe('retention', () => {
  it('removes what ended before, thousands in one round, and keeps their sums', async () => {
    await fill(2500, '2026-01-31T13:00:00.000Z')
    expect(await expire(30)).toBe(0)
    expect(await expire(28)).toBe(2500)
    expect([await kept(), await runs()]).toEqual([0, 2500 * ONE.runs])
  })

  it('is not fooled by a clock that runs years ahead of what nodes have sent', async () => {
    await fill(10, '2026-02-28T13:00:00.000Z')
    expect(await expire(30, Date.parse('2099-01-01T00:00:00Z'))).toBe(0)
    expect(await kept()).toBe(10)
  })
})
