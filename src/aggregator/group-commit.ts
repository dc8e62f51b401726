// Batches of many nodes go to the store together: one transaction, one flush to the disk. Nobody waits for a timer; what
// comes while the store is at work is the next group.
import { asHepwrapError, HepwrapError } from '../base/errors.js'
import type { Batch, BatchOutcome, Store } from '../store/store.js'

export interface GroupCommit {
  /** Resolves when the batch is durable. */
  ingest(batch: Batch): Promise<BatchOutcome>
  /** Resolves when all that was given is done. */
  drain(): Promise<void>
}

const MAX_BATCHES = 256
const MAX_RECORDS = 20_000

interface Waiting {
  readonly batch: Batch
  readonly resolve: (outcome: BatchOutcome) => void
  readonly reject: (error: unknown) => void
}

export function createGroupCommit(
  store: Pick<Store, 'ingest'>,
  onGroup: (batches: number) => void,
): GroupCommit {
  const waiting: Waiting[] = []
  let work: Promise<void> | undefined

  const loop = async () => {
    while (waiting.length > 0) {
      const group = nextGroup(waiting)
      onGroup(group.length)
      await commit(store, group)
    }
    work = undefined
  }
  return {
    ingest: (batch) =>
      new Promise((resolve, reject) => {
        waiting.push({ batch, resolve, reject })
        work ??= loop()
      }),
    drain: async () => work,
  }
}

function nextGroup(waiting: Waiting[]): readonly Waiting[] {
  let records = 0
  let length = 0
  for (const { batch } of waiting) {
    records += batch.records.length
    if (length > 0 && (length >= MAX_BATCHES || records > MAX_RECORDS)) break
    length++
  }
  return waiting.splice(0, length)
}

async function commit(store: Pick<Store, 'ingest'>, group: readonly Waiting[]): Promise<void> {
  try {
    const outcomes = await store.ingest(group.map(({ batch }) => batch))
    group.forEach(({ resolve, reject }, index) => {
      const outcome = outcomes[index]
      if (outcome === undefined) reject(new Error('the store gave fewer outcomes than batches'))
      else resolve(outcome)
    })
  } catch (error) {
    // One batch that the store cannot take must not take the others with it.
    if (group.length > 1 && asHepwrapError(error).code !== 'HW_STORE_UNAVAILABLE')
      for (const one of group) await commit(store, [one])
    else group.forEach(({ reject }) => reject(faultOf(error)))
  }
}

// Sent again it would fail again: the node halves it until the one record is alone, and sets that aside.
function faultOf(thrown: unknown): HepwrapError {
  const error = asHepwrapError(thrown)
  if (error.code === 'HW_STORE_UNAVAILABLE') return error
  return new HepwrapError('HW_BATCH_INVALID', 'the database cannot hold a record of this batch', {
    cause: thrown,
  })
}
