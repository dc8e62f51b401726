// Batches that wait for the store: together, in order, and none pays for another.
import { describe, expect, it } from 'vitest'
import { createGroupCommit } from '../../../src/aggregator/group-commit.js'
import { HepwrapError } from '../../../src/base/errors.js'
import type { Batch, BatchOutcome } from '../../../src/store/store.js'
import { usageRecord } from '../../support/usage-record.js'

const batch = (mark: number, records = 1): Batch => ({
  range: undefined,
  records: Array.from({ length: records }, () => ({ record: usageRecord(), changeSeq: 0 })),
  receivedAtMs: mark,
})
const done = (): BatchOutcome => ({
  kind: 'applied',
  inserted: 1,
  changed: 0,
  corrected: 0,
  duplicates: 0,
  foreign: 0,
  acked: undefined,
  remarks: [],
})

/** A store whose transactions end when the test says so. */
function slowStore() {
  const groups: number[][] = []
  const releases: ((error?: Error) => void)[] = []
  return {
    groups,
    release: async (error?: Error) => {
      releases.shift()?.(error)
      await new Promise((resolve) => setImmediate(resolve))
    },
    ingest: (batches: readonly Batch[]) => {
      groups.push(batches.map(({ receivedAtMs }) => receivedAtMs))
      return new Promise<readonly BatchOutcome[]>((resolve, reject) => {
        releases.push((error) => {
          if (error === undefined) resolve(batches.map(done))
          else reject(error)
        })
      })
    },
  }
}

describe('group commit', () => {
  it('takes the first at once, and all that came meanwhile together', async () => {
    const store = slowStore()
    const sizes: number[] = []
    const commits = createGroupCommit(store, (size) => sizes.push(size))
    const all = [1, 2, 3, 4].map((mark) => commits.ingest(batch(mark)))
    expect(store.groups).toEqual([[1]])
    await store.release()
    expect(store.groups).toEqual([[1], [2, 3, 4]])
    await store.release()
    await Promise.all(all)
    expect(sizes).toEqual([1, 3])
  })

  it('bounds a group by its records', async () => {
    const store = slowStore()
    const commits = createGroupCommit(store, () => undefined)
    const all = [1, 2, 3, 4].map((mark) => commits.ingest(batch(mark, 9000)))
    await store.release()
    await store.release()
    await store.release()
    await Promise.all(all)
    expect(store.groups).toEqual([[1], [2, 3], [4]])
  })

  it('tells all of a group that the store is away, and asks it no more for them', async () => {
    const store = slowStore()
    const commits = createGroupCommit(store, () => undefined)
    const all = Promise.allSettled([1, 2, 3].map((mark) => commits.ingest(batch(mark))))
    await store.release(new HepwrapError('HW_STORE_UNAVAILABLE', 'disk full'))
    await store.release(new HepwrapError('HW_STORE_UNAVAILABLE', 'disk full'))
    expect((await all).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
    expect(store.groups).toEqual([[1], [2, 3]])
  })

  it('lets one batch that the store cannot take fail alone', async () => {
    const store = slowStore()
    const commits = createGroupCommit(store, () => undefined)
    const all = Promise.allSettled([1, 2, 3].map((mark) => commits.ingest(batch(mark))))
    await store.release()
    await store.release(new Error('a value it cannot hold'))
    await store.release(new Error('a value it cannot hold'))
    await store.release()
    const [, alone] = await all
    expect(alone).toMatchObject({ status: 'rejected', reason: { code: 'HW_BATCH_INVALID' } })
    expect((await all).map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(store.groups).toEqual([[1], [2, 3], [2], [3]])
    await commits.drain()
  })
})
