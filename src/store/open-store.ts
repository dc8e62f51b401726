// From the store's URL to the store.
import { HepwrapError, quote } from '../base/errors.js'
import { openSqliteStore } from './sqlite/sqlite-store.js'
import type { Store } from './store.js'

/** `sqlite:/path` or `postgres://…`. Throws HW_STORE_UNAVAILABLE where it cannot be opened, HW_CONFIG_INVALID for another URL. */
export async function openStore(url: string): Promise<Store> {
  const path = /^sqlite:(?:\/\/)?(\/.*[^/])$/.exec(url)?.[1]
  if (path !== undefined) return openSqliteStore(path)
  if (/^postgres(?:ql)?:\/\//.test(url)) {
    // Loaded where it is wanted only.
    const { openPostgresStore } = await import('./postgres/postgres-store.js')
    return openPostgresStore(url)
  }
  throw new HepwrapError(
    'HW_CONFIG_INVALID',
    `store url ${quote(withoutPassword(url))} is neither sqlite:/PATH nor postgres://USER@HOST/DATABASE`,
  )
}

const withoutPassword = (url: string): string => url.replace(/^([^/]*\/\/[^/]*?):.*@/, '$1:…@')
