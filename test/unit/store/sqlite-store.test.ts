// The contract of a store on SQLite, without threads; test/integration/store has it with them, and on PostgreSQL.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { describeStore } from '../../support/store-contract.js'
import { openStoreHere } from '../../support/store-here.js'

describeStore('sqlite', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'hepwrap-store-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  return openStoreHere(join(directory, 'store.db'))
})
