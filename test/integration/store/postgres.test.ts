// The contract of a store on a real PostgreSQL, and what happens to it when the server goes.
import { writeFileSync } from 'node:fs'
import pg from 'pg'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openStore } from '../../../src/store/open-store.js'
import { allRecords, expectSumsOf } from '../../support/naive-usage.js'
import { describeStore } from '../../support/store-contract.js'
import { holdsFor, operations } from '../../support/store-property.js'
import { ended, loose, ranged } from '../../support/store-records.js'
import { eventually } from '../../world/eventually.js'
import { passwordDatabase, postgres } from '../../world/postgres.js'
import '../../world/world.js'

const makeDatabase = passwordDatabase

beforeAll(() => postgres('start'))
afterAll(() => postgres('stop'))

describeStore('postgres', async () => openStore(makeDatabase()))

describe('the database', () => {
  it('keeps what a naive model keeps, whatever comes in whatever order', async () => {
    await fc.assert(
      fc.asyncProperty(operations, async (list) => {
        const url = makeDatabase()
        await holdsFor(list, async () => openStore(url))
      }),
      { numRuns: 15 },
    )
  }, 180_000)

  it('may be written by several aggregators at once', async () => {
    const url = makeDatabase()
    const stores = await Promise.all([openStore(url), openStore(url), openStore(url)])
    const records = Array.from({ length: 60 }, (_, index) =>
      ended({ user: `u${index % 7}`, image: `i${index % 5}`, node: `n${index % 3}` }),
    )
    // The same batches through each, at once.
    await Promise.all(
      stores.map(async (store) => {
        for (let at = 0; at < records.length; at += 5)
          await store.ingest([ranged(at, records.slice(at, at + 5))])
      }),
    )
    const store = stores[0]
    expect(await allRecords(store)).toHaveLength(60)
    await expectSumsOf(store, records)
    expect(await store.ledgers()).toMatchObject([{ acked: 60 }])
    await Promise.all(stores.map(async (one) => one.close()))
  })

  it('takes its password from PGPASSFILE, and says it nowhere', async () => {
    const url = new URL(makeDatabase())
    const file = '/tmp/pgpass'
    writeFileSync(file, `127.0.0.1:5432:*:hepwrap:secret\n`, { mode: 0o600 })
    url.password = ''
    process.env['PGPASSFILE'] = file
    try {
      const store = await openStore(url.href)
      await store.probe()
      expect(store.description).toBe(`postgres://hepwrap@127.0.0.1:5432${url.pathname}`)
      await store.close()
    } finally {
      delete process.env['PGPASSFILE']
    }
    url.password = 'wrong-word'
    await expect(openStore(url.href)).rejects.toThrow(
      expect.objectContaining({
        code: 'HW_STORE_UNAVAILABLE',
        message: expect.not.stringContaining('wrong-word') as string,
      }) as Error,
    )
    await expect(openStore('postgres://hepwrap@127.0.0.1:1/x')).rejects.toThrow(/ECONNREFUSED/)
  })

  it('of a newer version is refused', async () => {
    const url = makeDatabase()
    await (await openStore(url)).close()
    const client = new pg.Client(url)
    await client.connect()
    await client.query('INSERT INTO schema_steps VALUES (99)')
    await client.end()
    await expect(openStore(url)).rejects.toThrow(/version 99/)
  })
})

describe('a server that is killed', () => {
  it('loses nothing that was acknowledged and doubles nothing, time after time', async () => {
    const url = makeDatabase()
    const store = await openStore(url)
    const records = Array.from({ length: 4000 }, (_, index) =>
      ended({ user: `u${index % 7}`, image: `i${index % 5}` }),
    )
    let acked = 0
    let failures = 0
    const sending = (async () => {
      while (acked < records.length) {
        try {
          const [outcome] = await store.ingest([ranged(acked, records.slice(acked, acked + 10))])
          expect(outcome).toMatchObject({ kind: 'applied', acked: acked + 10 })
          acked += 10
        } catch (thrown) {
          expect(thrown).toMatchObject({ code: 'HW_STORE_UNAVAILABLE' })
          failures++
          await eventually(
            async () =>
              store.probe().then(
                () => true,
                () => false,
              ),
            {
              timeoutMs: 30_000,
            },
          )
        }
      }
    })()
    for (let kills = 0; kills < 5 && acked < records.length; kills++) {
      const before = acked
      await eventually(() => acked > before + 100 || acked === records.length, {
        timeoutMs: 30_000,
      })
      postgres('kill')
      postgres('start')
    }
    await sending
    expect(failures).toBeGreaterThan(0)
    expect(await allRecords(store)).toHaveLength(records.length)
    await expectSumsOf(store, records)
    await store.close()
  }, 180_000)

  it('is a refusal with a reason while it is away', async () => {
    const store = await openStore(makeDatabase())
    postgres('stop')
    const refused = expect.objectContaining({ code: 'HW_STORE_UNAVAILABLE' }) as Error
    await expect(store.ingest([loose(ended())])).rejects.toThrow(refused)
    await expect(store.ledgers()).rejects.toThrow(refused)
    await expect(store.probe()).rejects.toThrow(refused)
    postgres('start')
    expect(await store.ingest([loose(ended())])).toMatchObject([{ inserted: 1 }])
    await store.close()
  })
})
