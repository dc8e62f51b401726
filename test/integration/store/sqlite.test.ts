// The contract of a store on SQLite as it is built, with its threads.
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { describe, expect, it, onTestFinished } from 'vitest'
import { openBuiltStore } from '../../support/built-store.js'
import { describeStore } from '../../support/store-contract.js'
import { ended, loose, ranged } from '../../support/store-records.js'
import '../../world/world.js'

const UNAVAILABLE = expect.objectContaining({ code: 'HW_STORE_UNAVAILABLE' }) as Error

function makeDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'hepwrap-store-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

describeStore('sqlite in threads', async () => openBuiltStore(`sqlite:${makeDirectory()}/store.db`))

describe('the file', () => {
  it('is its owner’s alone, and there after a restart', async () => {
    const path = join(makeDirectory(), 'made/store.db')
    const store = await openBuiltStore(`sqlite:${path}`)
    await store.ingest([ranged(0, [ended()])])
    for (const name of ['', '-wal', '-shm'])
      expect(statSync(path + name).mode & 0o777, name).toBe(0o600)
    await store.close()
    const again = await openBuiltStore(`sqlite:${path}`)
    expect(await again.ledgers()).toMatchObject([{ acked: 1 }])
    expect(
      await again.usage({ by: [], filter: {}, top: undefined }, { uid: undefined }),
    ).toMatchObject([{ runs: 1 }])
    await again.close()
  })

  it('of a newer version, or that is none, is refused with its name', async () => {
    const path = join(makeDirectory(), 'store.db')
    const db = new Database(path)
    db.pragma('user_version = 99')
    db.close()
    await expect(openBuiltStore(`sqlite:${path}`)).rejects.toThrow(
      expect.objectContaining({
        code: 'HW_STORE_UNAVAILABLE',
        message: expect.stringMatching(/store\.db.*version 99/) as string,
      }) as Error,
    )
    const mode = statSync('/etc/passwd').mode
    await expect(openBuiltStore('sqlite:/etc/passwd')).rejects.toThrow(UNAVAILABLE)
    expect(statSync('/etc/passwd').mode).toBe(mode)
    await expect(openBuiltStore('sqlite:/nowhere/at/all.db')).rejects.toThrow(/nowhere/)
    await expect(openBuiltStore('mysql://u:secret@h/db')).rejects.not.toThrow(/secret/)
  })

  it('that another program has locked for too long is unavailable, and then available', async () => {
    const path = join(makeDirectory(), 'store.db')
    const store = await openBuiltStore(`sqlite:${path}`)
    const other = new Database(path)
    other.exec('BEGIN IMMEDIATE')
    await expect(store.ingest([loose(ended())])).rejects.toThrow(/locked/)
    expect(
      (await store.records({}, { uid: undefined }, { after: undefined, limit: 1 })).records,
    ).toEqual([])
    other.exec('ROLLBACK')
    other.close()
    expect(await store.ingest([loose(ended())])).toMatchObject([{ inserted: 1 }])
    await store.close()
  })

  it('is read while it is written: a long question holds up no batch', async () => {
    const store = await openBuiltStore(`sqlite:${makeDirectory()}/store.db`)
    const many = Array.from({ length: 30_000 }, (_, index) =>
      ended({ user: `u${index}`, node: `n${index}` }),
    )
    await store.ingest([loose(...many)])
    let isAnswered = false
    const question = { by: ['user', 'node'], filter: {}, top: undefined } as const
    const answer = store.usage(question, { uid: undefined }).then((rows) => {
      isAnswered = true
      return rows
    })
    await store.ingest([loose(ended())])
    expect(isAnswered).toBe(false)
    expect((await answer).length).toBeGreaterThanOrEqual(30_000)
    await store.close()
  })
})
