// The store's smaller questions, as SQL for both databases.
import { anyOf, type Dialect } from './dialect.js'
import type { Sql } from './usage-sql.js'

export interface FactsFilter {
  readonly clusters?: readonly string[]
  readonly nodes?: readonly string[]
}

export function factsSql({ clusters = [], nodes = [] }: FactsFilter, dialect: Dialect): Sql {
  const binding = dialect.binding()
  const conditions = [
    ...(clusters.length > 0 ? [anyOf(dialect, binding, 'cluster', clusters)] : []),
    ...(nodes.length > 0 ? [anyOf(dialect, binding, 'node', nodes)] : []),
  ]
  const where = conditions.length > 0 ? ` WHERE ${conditions.join(' AND ')}` : ''
  const order = ['cluster', 'node'].map((column) => `${column}${dialect.bytewise}`).join(', ')
  return {
    text: `SELECT cluster, node, facts FROM facts${where} ORDER BY ${order}, since_ms`,
    values: binding.values,
  }
}

export const LEDGERS_SQL = `SELECT cluster, node, ledger, acked, first_seen_ms AS "firstSeenMs", last_seen_ms AS "lastSeenMs"
  FROM ledgers ORDER BY number`
