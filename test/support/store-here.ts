// The SQLite store without its threads, for tests that have no built program: the same calls, each at once.
import { asHepwrapError, HepwrapError } from '../../src/base/errors.js'
import type { CallThread } from '../../src/store/sqlite/call-thread.js'
import { isFromOutside, openCalls, type Role } from '../../src/store/sqlite/calls.js'
import { createSqliteStore } from '../../src/store/sqlite/sqlite-store.js'
import type { Store } from '../../src/store/store.js'

export function openStoreHere(path: string): Store {
  const write = callHere(path, 'write')
  return createSqliteStore(path, {
    write,
    records: callHere(path, 'read'),
    usage: callHere(path, 'read'),
  })
}

function callHere(path: string, role: Role): CallThread {
  const calls = openCalls(path, role)
  return async (name, ...args) => {
    const call = calls[name] as ((...args: unknown[]) => never) | undefined
    if (call === undefined) throw new Error(`a connection to ${role} has no ${name}`)
    try {
      // What crosses between threads is copied.
      return structuredClone(call(...structuredClone(args)))
    } catch (thrown) {
      throw isFromOutside(thrown)
        ? new HepwrapError('HW_STORE_UNAVAILABLE', asHepwrapError(thrown).message)
        : thrown
    }
  }
}
