// The store as it is built: its threads are programs of dist/.
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type * as OpenStore from '../../src/store/open-store.js'
import type { Store } from '../../src/store/store.js'

export const BUILT = pathToFileURL(join(import.meta.dirname, '../../dist/store/open-store.js')).href

export async function openBuiltStore(url: string): Promise<Store> {
  const built = (await import(BUILT)) as typeof OpenStore
  return built.openStore(url)
}
