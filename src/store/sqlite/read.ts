// What is asked of the SQLite store. Runs in threads of its own (thread.ts), so that nobody's question holds up ingest.
import type { Database } from 'better-sqlite3'
import type { NodeRow } from '../../wire/ingest-api.js'
import type { UsageRow } from '../../wire/report-api.js'
import { factsSql, LEDGERS_SQL, type FactsFilter } from '../small-sql.js'
import { createRawUsage, rawUsageSql } from '../raw-usage.js'
import { placeOf, STEP_ROWS, type Step } from '../read-page.js'
import { boundSql, stepSql, type Place, type StepQuestion } from '../records-sql.js'
import type { LedgerState, StoreScope, UsageQuestion } from '../store.js'
import type { Folded } from '../rollup.js'
import type { StoredRow } from '../stored-row.js'
import { planUsage } from '../usage-plan.js'
import { toUsageRows, usageSql, type Sql, type SqlUsageRow } from '../usage-sql.js'
import { SQLITE } from './database.js'
import { createFoldedReader } from './fold.js'

export interface ReadCalls {
  step(question: StepQuestion, limit: number): Step
  usage(question: UsageQuestion, scope: StoreScope): readonly UsageRow[]
  facts(filter: FactsFilter): readonly NodeRow[]
  ledgers(): readonly LedgerState[]
}

export function createReadCalls(db: Database): ReadCalls {
  const prepare = ({ text }: Sql) => db.prepare(text)
  const named = ({ values }: Sql) =>
    Object.fromEntries(values.map((value, index) => [`v${index + 1}`, value]))

  const readFolded = createFoldedReader(db)

  return {
    step: (question, limit) => {
      const boundedBy = boundSql(question, STEP_ROWS, SQLITE)
      const [createdMs, seq] =
        (prepare(boundedBy).raw().get(named(boundedBy)) as [number, number] | undefined) ?? []
      const bound: Place | undefined =
        createdMs === undefined || seq === undefined ? undefined : { createdMs, seq }
      const sql = stepSql(question, bound, limit, SQLITE)
      const rows = prepare(sql).raw().all(named(sql)) as StoredRow[]
      const last = rows.at(-1)
      return { rows, end: rows.length === limit && last !== undefined ? placeOf(last) : bound }
    },
    // In one transaction: what is folded between two reads would be counted twice or not at all.
    usage: db.transaction((question: UsageQuestion, scope: StoreScope) => {
      const plan = planUsage(question, scope, readFolded() ?? NOTHING_FOLDED)
      const { pieces } = plan
      if (pieces === undefined) {
        const sql = rawUsageSql(question, scope, plan, SQLITE)
        const usage = createRawUsage(question, plan)
        for (const row of prepare(sql).raw().iterate(named(sql))) usage.count(row as StoredRow)
        return usage.rows()
      }
      if (pieces.length === 0) return []
      const sql = usageSql(question, scope, { ...plan, pieces }, SQLITE)
      return toUsageRows(prepare(sql).all(named(sql)) as SqlUsageRow[], plan)
    }),
    facts: (filter) => {
      const sql = factsSql(filter, SQLITE)
      return (prepare(sql).all(named(sql)) as FactsRow[]).map(({ cluster, node, facts }) => ({
        ...(JSON.parse(facts) as Omit<NodeRow, 'cluster' | 'node'>),
        cluster,
        node,
      }))
    },
    ledgers: () => db.prepare(LEDGERS_SQL).all() as LedgerState[],
  }
}

const NOTHING_FOLDED: Folded = { week: -Infinity, month: -Infinity }

interface FactsRow {
  readonly cluster: string
  readonly node: string
  readonly facts: string
}
