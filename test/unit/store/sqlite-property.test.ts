import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { it } from 'vitest'
import { openStoreHere } from '../../support/store-here.js'
import { holdsFor, operations } from '../../support/store-property.js'

it('keeps what a naive model keeps, whatever comes in whatever order', async () => {
  await fc.assert(
    fc.asyncProperty(operations, async (list) => {
      const directory = mkdtempSync(join(tmpdir(), 'hepwrap-store-'))
      try {
        await holdsFor(list, async () => Promise.resolve(openStoreHere(join(directory, 's.db'))))
      } finally {
        rmSync(directory, { recursive: true })
      }
    }),
    { numRuns: 40 },
  )
}, 120_000)
