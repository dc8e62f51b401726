// What Prometheus is told of the aggregator. Labels are bounded: no user, no node, no image.
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Clock } from '../base/clock.js'
import { VERSION } from '../base/version.js'
import type { LedgerState } from '../store/store.js'

export type BatchEnd =
  'applied' | 'duplicate' | 'gap' | 'invalid' | 'too_large' | 'busy' | 'refused' | 'store_error'

export type Metrics = ReturnType<typeof createMetrics>

export interface MetricsOptions {
  readonly storeKind: string
  readonly clock: Clock
  readonly bytesInFlight: () => number
  readonly ledgers: () => Promise<readonly LedgerState[]>
}

const PREFIX = 'hepwrap_aggregator_'
const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
const SKEW_SECONDS = [0.1, 0.5, 1, 5, 15, 60, 300, 3600, 86_400]
/** Upper bounds of how long ago a node was heard of, ms. */
const AGES = { '5m': 300_000, '1h': 3_600_000, '1d': 86_400_000, older: Infinity } as const

export function createMetrics(options: MetricsOptions) {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  addReadings(registry, options)
  const counter = <Label extends string>(name: string, help: string, labelNames: Label[] = []) =>
    new Counter({ name: PREFIX + name, help, labelNames, registers })

  return {
    registry,
    batches: counter<'outcome'>('batches_total', 'Batches of records, by what became of them.', [
      'outcome',
    ]),
    records: counter<'outcome'>('records_total', 'Records taken, by what they were.', ['outcome']),
    refusals: counter<'code'>('refusals_total', 'Requests refused, by reason code.', ['code']),
    requests: counter<'route' | 'status'>('requests_total', 'Requests, by route and HTTP status.', [
      'route',
      'status',
    ]),
    storeErrors: counter('store_errors_total', 'Calls that the database did not serve.'),
    expired: counter('expired_records_total', 'Records removed because of their age.'),
    storeUp: new Gauge({
      name: `${PREFIX}store_up`,
      help: '1 if the database served the last call.',
      registers,
    }),
    ingestSeconds: new Histogram({
      name: `${PREFIX}ingest_seconds`,
      help: 'From a batch read to a batch durable.',
      buckets: SECONDS,
      registers,
    }),
    commitBatches: new Histogram({
      name: `${PREFIX}commit_batches`,
      help: 'Batches in one transaction.',
      buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256],
      registers,
    }),
    clockSkewSeconds: new Histogram({
      name: `${PREFIX}clock_skew_seconds`,
      help: 'Difference between the clock of the node and ours, a batch.',
      buckets: SKEW_SECONDS,
      registers,
    }),
  }
}

/** What is looked at when Prometheus asks. */
function addReadings(
  registry: Registry,
  { storeKind, clock, bytesInFlight, ledgers }: MetricsOptions,
): void {
  const registers = [registry]
  new Gauge({
    name: `${PREFIX}build_info`,
    help: 'Always 1; the labels say what runs.',
    labelNames: ['version', 'store'],
    registers,
  }).set({ version: VERSION, store: storeKind }, 1)
  new Gauge({
    name: `${PREFIX}bytes_in_flight`,
    help: 'Bytes of bodies on their way or not yet stored.',
    registers,
    collect() {
      this.set(bytesInFlight())
    },
  })
  new Gauge({
    name: `${PREFIX}nodes`,
    help: 'Nodes, by how long ago they were last heard of.',
    labelNames: ['seen'],
    registers,
    async collect() {
      const counts = await nodesByAge(ledgers, clock.nowMs())
      for (const [seen, count] of Object.entries(counts)) this.set({ seen }, count)
    },
  })
}

/** By its newest ledger: a node that was installed anew is one node. Empty where the store does not answer. */
async function nodesByAge(
  ledgers: () => Promise<readonly LedgerState[]>,
  nowMs: number,
): Promise<Partial<Record<keyof typeof AGES, number>>> {
  const lastSeen = new Map<string, number>()
  try {
    for (const { cluster, node, lastSeenMs } of await ledgers()) {
      const name = `${cluster}/${node}`
      lastSeen.set(name, Math.max(lastSeen.get(name) ?? 0, lastSeenMs))
    }
  } catch {
    return {} // store_up says so
  }
  const counts = { '5m': 0, '1h': 0, '1d': 0, older: 0 }
  const bounds = Object.entries(AGES) as [keyof typeof AGES, number][]
  for (const atMs of lastSeen.values()) {
    const [age = 'older'] = bounds.find(([, bound]) => nowMs - atMs <= bound) ?? []
    counts[age]++
  }
  return counts
}
