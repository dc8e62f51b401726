// What this node is, as the ledger keeps it: a row a change, so that a record can be joined to the node of its day.
import type { Database } from 'better-sqlite3'
import { rfc3339 } from '../base/clock.js'
import type { NodeFacts } from '../wire/ingest-api.js'
import type { Translated } from './outbox.js'

export type FactsNow = Omit<NodeFacts, 'since'>

export interface NodeFactsTable {
  /** Writes them if they differ from the newest; reports whether they do. */
  note(facts: FactsNow, since: string): boolean
  newest(): NodeFacts | undefined
  /** Those that the aggregator does not have, oldest first. */
  unsent(): readonly NodeFacts[]
  markSent(since: string): void
  /** The aggregator has lost what it had. */
  markAllUnsent(): void
}

interface FactsRow {
  readonly since: string
  readonly facts: string
}

export function createNodeFactsTable(db: Database, translated: Translated): NodeFactsTable {
  const insert = db.prepare('INSERT OR REPLACE INTO node_facts VALUES (@since, @facts, 0)')
  const selectNewest = db.prepare('SELECT since, facts FROM node_facts ORDER BY rowid DESC LIMIT 1')
  const selectUnsent = db.prepare(
    'SELECT since, facts FROM node_facts WHERE is_sent = 0 ORDER BY rowid',
  )
  const mark = db.prepare('UPDATE node_facts SET is_sent = 1 WHERE since = ?')
  const unmark = db.prepare('UPDATE node_facts SET is_sent = 0')

  return {
    note: (facts, since) =>
      translated("write the node's facts", () => {
        const text = JSON.stringify(facts)
        const known = selectNewest.get() as FactsRow | undefined
        if (known?.facts === text) return false
        insert.run({ since: known === undefined ? since : later(since, known.since), facts: text })
        return true
      }),
    newest: () =>
      translated("read the node's facts", () => {
        const row = selectNewest.get() as FactsRow | undefined
        return row && parse(row)
      }),
    unsent: () =>
      translated("read the node's facts", () => (selectUnsent.all() as FactsRow[]).map(parse)),
    markSent: (since) => translated("write the node's facts", () => void mark.run(since)),
    markAllUnsent: () => translated("write the node's facts", () => void unmark.run()),
  }
}

/** Facts follow each other in time, whatever the clock said when they were noted: they hold from one row to the next. */
const later = (since: string, known: string): string =>
  since > known ? since : rfc3339(Date.parse(known) + 1)

const parse = ({ since, facts }: FactsRow): NodeFacts => ({
  since,
  ...(JSON.parse(facts) as FactsNow),
})
