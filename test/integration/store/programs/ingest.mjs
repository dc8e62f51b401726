// ingest URL TOTAL: sends the made-up changes of one ledger from where the store says that it is, and says each end on stdout.
// Each record comes twice: RUNNING with an odd number, and ended with the next.
import { openStore } from '/opt/hepwrap/dist/store/open-store.js'
import { makeChange, LEDGER, NODE } from './changes.mjs'

const [url, total] = [process.argv[2], Number(process.argv[3])]
const store = await openStore(url)
let acked = (await store.ledgers()).find(({ ledger }) => ledger === LEDGER)?.acked ?? 0
process.stdout.write(`${acked}\n`)
while (acked < total) {
  const batch = (after) => ({
    range: { cluster: 'hepp', node: NODE, ledger: LEDGER, after, upto: Math.min(total, after + 7) },
    receivedAtMs: Date.UTC(2026, 1, 1) + after * 600_000,
    records: Array.from({ length: Math.min(7, total - after) }, (_, index) => ({
      record: makeChange(after + index + 1),
      changeSeq: after + index + 1,
    })),
  })
  const group = [batch(acked), batch(Math.min(total, acked + 7))]
  const outcomes = await store.ingest(group)
  acked = outcomes.at(-1).acked
  process.stdout.write(`${acked}\n`)
}
await store.close()
