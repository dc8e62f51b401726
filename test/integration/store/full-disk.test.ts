// The SQLite store on a disk that is full, or read-only, and well again: nothing acknowledged is lost, nothing doubled.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { openBuiltStore } from '../../support/built-store.js'
import { allRecords, expectSumsOf } from '../../support/naive-usage.js'
import { ended, ranged } from '../../support/store-records.js'
import type { UsageRecord } from '../../../src/wire/usage-api.js'
import '../../world/world.js'

let directory: string
beforeEach(() => {
  directory = mkdtempSync('/srv/hepwrap-disk-')
  mount('-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', directory)
})
afterEach(() => {
  execFileSync('umount', [directory])
  rmSync(directory, { recursive: true })
})

const mount = (...args: string[]) => void execFileSync('mount', args)
const UNAVAILABLE = expect.objectContaining({ code: 'HW_STORE_UNAVAILABLE' }) as Error
const makeRecords = (count: number) =>
  Array.from({ length: count }, (_, index) =>
    ended({ user: `u${index % 3}`, command: 'x'.repeat(3000) }),
  )

it('is full: refused with a reason, nothing half done, and over once there is space', async () => {
  writeFileSync(join(directory, 'ballast'), Buffer.alloc(1_000_000))
  const store = await openBuiltStore(`sqlite:${directory}/store.db`)
  const kept: UsageRecord[] = []
  for (;;) {
    const records = makeRecords(20)
    try {
      await store.ingest([ranged(kept.length, records)])
    } catch (thrown) {
      expect(thrown).toEqual(UNAVAILABLE)
      expect(String(thrown)).toMatch(/full/)
      break
    }
    kept.push(...records)
  }
  expect(kept.length).toBeGreaterThan(0)
  expect(await allRecords(store)).toHaveLength(kept.length)
  await expectSumsOf(store, kept)
  expect(await store.ledgers()).toMatchObject([{ acked: kept.length }])
  const { bavail, bsize } = statfsSync(directory)
  if (bavail > 0) writeFileSync(join(directory, 'more'), Buffer.alloc(bavail * bsize))
  await expect(store.ingest([ranged(kept.length, makeRecords(200))])).rejects.toThrow(UNAVAILABLE)

  rmSync(join(directory, 'more'), { force: true })
  rmSync(join(directory, 'ballast'))
  const records = makeRecords(20)
  expect(await store.ingest([ranged(kept.length, records)])).toMatchObject([{ inserted: 20 }])
  await store.probe()
  await expectSumsOf(store, [...kept, ...records])
  await store.close()
})

it('is read-only: refused with a reason', async () => {
  const url = `sqlite:${directory}/store.db`
  const store = await openBuiltStore(url)
  await store.ingest([ranged(0, makeRecords(1))])
  await store.close()
  mount('-o', 'remount,ro', directory)
  await expect(openBuiltStore(url)).rejects.toThrow(UNAVAILABLE)
  mount('-o', 'remount,rw', directory)
  const again = await openBuiltStore(url)
  expect(await allRecords(again)).toHaveLength(1)
  await again.close()
})
