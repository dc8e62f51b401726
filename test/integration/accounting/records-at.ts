// What a node's ledger has, and what the aggregator has of it, in the same words.
import { expect } from 'vitest'
import type { UsageRecord } from '../../../src/wire/usage-api.js'
import { RECORD_FIELDS } from '../../../src/wire/record-fields.js'
import { askAs, type Aggregator } from '../../world/aggregator.js'
import type { Daemon } from '../../world/daemon.js'
import { eventually } from '../../world/eventually.js'

export function inLedger(daemon: Pick<Daemon, 'ledgerRows'>): UsageRecord[] {
  const fields = RECORD_FIELDS.map((field) => `"${field}"`).join(', ')
  const rows = daemon.ledgerRows(`select ${fields} from records order by id`)
  return rows.map((row) => {
    const labels = row['labels'] as string | null
    return { ...row, labels: labels === null ? null : (JSON.parse(labels) as unknown) }
  }) as unknown as UsageRecord[]
}

export async function atAggregator(aggregator: Aggregator): Promise<UsageRecord[]> {
  const reply = await askAs('root', aggregator, { path: '/v1/records' })
  const text = await reply.text()
  if (reply.status !== 200) throw new Error(`${reply.status} ${text}`)
  const records = text.split('\n').filter(Boolean)
  return records
    .map((line) => JSON.parse(line) as UsageRecord)
    .sort((a, b) => (a.id < b.id ? -1 : 1))
}

/** The aggregator has every record of these ledgers, once, as it is. */
export async function expectAllArrive(
  aggregator: Aggregator,
  ...records: UsageRecord[][]
): Promise<void> {
  const wanted = records.flat().sort((a, b) => (a.id < b.id ? -1 : 1))
  const isAll = async () => {
    const got = await atAggregator(aggregator)
    return got.length >= wanted.length && JSON.stringify(got) === JSON.stringify(wanted)
  }
  await eventually(isAll, { timeoutMs: 40_000, intervalMs: 500 }).catch(async () => {
    expect(await atAggregator(aggregator)).toEqual(wanted)
  })
}
