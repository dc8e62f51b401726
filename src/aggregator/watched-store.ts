// The store with a watch on it: that it went away and came back is said once each, and counted.
import { HepwrapError } from '../base/errors.js'
import type { Logger } from '../base/log.js'
import type { Store } from '../store/store.js'

export interface StoreWatch {
  readonly onError: () => void
  readonly onUp: (isUp: boolean) => void
}

export function watchStore(store: Store, log: Logger, watch: StoreWatch): Store {
  let isUp = true
  watch.onUp(true)
  const watched = async <T>(asked: Promise<T>): Promise<T> => {
    try {
      const answer = await asked
      if (!isUp) log.info({ store: store.description }, 'the store answers again')
      isUp = true
      watch.onUp(true)
      return answer
    } catch (error) {
      if (!(error instanceof HepwrapError) || error.code !== 'HW_STORE_UNAVAILABLE') throw error
      watch.onError()
      watch.onUp(false)
      if (isUp) log.error({ store: store.description, err: error }, 'the store is not available')
      isUp = false
      throw error
    }
  }
  return {
    description: store.description,
    ingest: (batches) => watched(store.ingest(batches)),
    putFacts: (row) => watched(store.putFacts(row)),
    facts: (filter) => watched(store.facts(filter)),
    records: (filter, scope, page) => watched(store.records(filter, scope, page)),
    usage: (question, scope) => watched(store.usage(question, scope)),
    ledgers: () => watched(store.ledgers()),
    expire: (beforeMs, limit) => watched(store.expire(beforeMs, limit)),
    probe: () => watched(store.probe()),
    close: () => store.close(),
  }
}
