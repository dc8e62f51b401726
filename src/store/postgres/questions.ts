// What is asked of the PostgreSQL store.
import type { ClientBase } from 'pg'
import Cursor from 'pg-cursor'
import type { NodeRow } from '../../wire/ingest-api.js'
import type { UsageRow } from '../../wire/report-api.js'
import { createRawUsage, rawUsageSql } from '../raw-usage.js'
import { placeOf, readPage, STEP_ROWS, type Step } from '../read-page.js'
import { boundSql, stepSql, type StepQuestion } from '../records-sql.js'
import { factsSql, LEDGERS_SQL } from '../small-sql.js'
import type { LedgerState, Store, StoreScope, UsageQuestion } from '../store.js'
import type { Cell, StoredRow } from '../stored-row.js'
import { planUsage } from '../usage-plan.js'
import { toUsageRows, usageSql, type Sql, type SqlUsageRow } from '../usage-sql.js'
import { POSTGRES, type Connections } from './connections.js'
import { readFolded } from './fold.js'

const NOTHING_FOLDED = { week: -Infinity, month: -Infinity }

export function createQuestions(
  read: Connections['read'],
): Pick<Store, 'facts' | 'records' | 'usage' | 'ledgers'> {
  return {
    records: async (filter, scope, page) =>
      readPage(
        async (question, limit) => read(async (client) => readStep(client, question, limit)),
        filter,
        scope,
        page,
      ),
    usage: async (question, scope) => read(async (client) => readUsage(client, question, scope)),
    facts: async (filter) =>
      read(async (client) => {
        const { text, values } = factsSql(filter, POSTGRES)
        const { rows } = await client.query<FactsRow>(text, [...values])
        return rows.map(({ cluster, node, facts }) => ({
          ...(JSON.parse(facts) as Omit<NodeRow, 'cluster' | 'node'>),
          cluster,
          node,
        }))
      }),
    ledgers: async () =>
      read(async (client) => {
        const { rows } = await client.query<LedgerState>(LEDGERS_SQL)
        return rows
      }),
  }
}

interface FactsRow {
  readonly cluster: string
  readonly node: string
  readonly facts: string
}

async function readStep(client: ClientBase, question: StepQuestion, limit: number): Promise<Step> {
  const asked = async ({ text, values }: Sql) => {
    const { rows } = await client.query<Cell[]>({ text, values: [...values], rowMode: 'array' })
    return rows
  }
  const [found] = await asked(boundSql(question, STEP_ROWS, POSTGRES))
  const bound =
    found === undefined ? undefined : { createdMs: Number(found[0]), seq: Number(found[1]) }
  const rows = await asked(stepSql(question, bound, limit, POSTGRES))
  const last = rows.at(-1)
  return { rows, end: rows.length === limit && last !== undefined ? placeOf(last) : bound }
}

async function readUsage(
  client: ClientBase,
  question: UsageQuestion,
  scope: StoreScope,
): Promise<readonly UsageRow[]> {
  const plan = planUsage(question, scope, (await readFolded(client)) ?? NOTHING_FOLDED)
  const { pieces } = plan
  if (pieces === undefined) {
    const sql = rawUsageSql(question, scope, plan, POSTGRES)
    const usage = createRawUsage(question, plan)
    const cursor = client.query(
      new Cursor<StoredRow>(sql.text, [...sql.values], { rowMode: 'array' }),
    )
    for (let rows = await cursor.read(STEP_ROWS); rows.length > 0;) {
      for (const row of rows) usage.count(row)
      rows = await cursor.read(STEP_ROWS)
    }
    return usage.rows()
  }
  if (pieces.length === 0) return []
  const { text, values } = usageSql(question, scope, { ...plan, pieces }, POSTGRES)
  const { rows } = await client.query<SqlUsageRow>(text, [...values])
  return toUsageRows(rows, plan)
}
