// A program that writes the SQLite store and is killed at random, a hundred times: nothing that it was told is durable is
// lost, nothing is there twice, and the rollups are the sums of the records.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { expect, it } from 'vitest'
import type { UsageRecord } from '../../../src/wire/usage-api.js'
import { openBuiltStore } from '../../support/built-store.js'
import { allRecords, expectSumsOf } from '../../support/naive-usage.js'
import '../../world/world.js'

const KILLS = 100
const CHANGES: string = './programs/changes.mjs'
const TOTAL = 1_000_000

interface Changes {
  readonly makeChange: (seq: number) => UsageRecord
}

it('survives being killed at random a hundred times', async () => {
  const directory = mkdtempSync('/srv/hepwrap-store-')
  const url = `sqlite:${directory}/store.db`
  let promised = 0
  for (let kills = 0; kills < KILLS; kills++) {
    const said = await ingestAndKill(url, Math.floor(Math.random() * 25))
    // Where it begins again is where it was promised to be, or further: a commit whose word did not get out.
    expect(said[0]).toBeGreaterThanOrEqual(promised)
    promised = said.at(-1)!
  }
  expect(promised).toBeGreaterThan(KILLS)
  const store = await openBuiltStore(url)
  const [ledger] = await store.ledgers()
  expect(ledger!.acked).toBeGreaterThanOrEqual(promised)
  const { makeChange } = (await import(CHANGES)) as Changes
  const latest = new Map<string, UsageRecord>()
  for (let seq = 1; seq <= ledger!.acked; seq++) latest.set(makeChange(seq).id, makeChange(seq))
  expect(await allRecords(store)).toEqual([...latest.values()])
  await expectSumsOf(store, [...latest.values()])
  await store.close()
  const db = new Database(`${directory}/store.db`, { readonly: true })
  expect(db.pragma('integrity_check', { simple: true })).toBe('ok')
  db.close()
  rmSync(directory, { recursive: true })
}, 180_000)

/** Kills it when it has said so many ends, at some moment before the next; returns what it said. */
async function ingestAndKill(url: string, after: number): Promise<number[]> {
  const program = join(import.meta.dirname, 'programs/ingest.mjs')
  const child = spawn('node', [program, url, String(TOTAL)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  const lines = () => text.split('\n').slice(0, -1).map(Number)
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString()
    if (lines().length > after) child.kill('SIGKILL')
  })
  await new Promise((resolve) => child.once('close', resolve))
  expect(child.signalCode).toBe('SIGKILL')
  return lines()
}
