// The node's metrics, as Prometheus reads them. Labels have few values, all of them ours: reason codes, states, stages; never a
// user's words. What is counted costs a run microseconds; what must be asked for is asked when somebody scrapes, and at most
// once a second, for anybody on this host may scrape.
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { ForwarderParts } from '../accounting/forwarder.js'
import type { Clock } from '../base/clock.js'
import { VERSION } from '../base/version.js'
import { within } from '../base/within.js'
import type { RunTally } from '../run/tally.js'
import type { Daemon } from './compose.js'

export interface Meters {
  readonly tally: RunTally
  readonly onOutcome: NonNullable<ForwarderParts['onOutcome']>
  /** A queue whose length is asked for at each scrape. */
  watchQueue(name: 'pull' | 'request', length: () => number): void
  /** What is read from the daemon's parts; once. */
  watchDaemon(daemon: Daemon): void
  /** In the text format 0.0.4. */
  render(): Promise<string>
  readonly contentType: string
}

const LAUNCH_BUCKETS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300,
]
const RENDER_EVERY_MS = 1000

export function createMeters(clock: Clock): Meters {
  const registry = new Registry()
  const registers = [registry]
  const queues = new Map<string, () => number>()
  new Gauge({
    name: 'hepwrapd_queue_length',
    help: 'Who waits: runs for an image that is being pulled, connections for their turn',
    labelNames: ['queue'],
    registers,
    collect() {
      for (const [queue, length] of queues) this.set({ queue }, length())
    },
  })
  const batches = new Counter({
    name: 'hepwrapd_forwarder_batches_total',
    help: 'Batches of records sent to the aggregator, by what became of them',
    labelNames: ['outcome'],
    registers,
  })
  let rendered: { readonly text: Promise<string>; readonly atMs: number } | undefined

  return {
    tally: createTally(registers),
    onOutcome: (outcome) => batches.inc({ outcome }),
    watchQueue: (name, length) => void queues.set(name, length),
    watchDaemon: (daemon) => {
      watchRuns(daemon, registers)
      watchLedger(daemon, registers)
      watchForwarder(daemon, registers)
    },
    render: () => {
      const nowMs = clock.monotonicMs()
      if (rendered === undefined || nowMs - rendered.atMs > RENDER_EVERY_MS)
        rendered = { text: registry.metrics(), atMs: nowMs }
      return rendered.text
    },
    contentType: registry.contentType,
  }
}

type Registers = Registry[]

function createTally(registers: Registers): RunTally {
  const launches = new Counter({
    name: 'hepwrapd_launches_total',
    help: 'Commands begun',
    registers,
  })
  const launchSeconds = new Histogram({
    name: 'hepwrapd_launch_seconds',
    help: 'How long launches took, by stage, and in total',
    labelNames: ['stage'],
    buckets: LAUNCH_BUCKETS,
    registers,
  })
  const refusals = new Counter({
    name: 'hepwrapd_refusals_total',
    help: 'Runs that never became a command, by reason code',
    labelNames: ['reason'],
    registers,
  })
  const ends = new Counter({
    name: 'hepwrapd_runs_ended_total',
    help: 'Admitted runs that are over, by the state of their record',
    labelNames: ['state'],
    registers,
  })
  return {
    launched: (parts, totalMs) => {
      launches.inc()
      for (const [stage, ms] of Object.entries(parts)) launchSeconds.observe({ stage }, ms / 1000)
      launchSeconds.observe({ stage: 'total' }, totalMs / 1000)
    },
    refused: (reason) => refusals.inc({ reason }),
    ended: (state) => ends.inc({ state }),
  }
}

function watchRuns({ config, live, engine, clock }: Daemon, registers: Registers): void {
  const isEngineUp = rememberUp(() => engine.facts(), clock)
  new Gauge({
    name: 'hepwrapd_build_info',
    help: '1; which version runs on which node',
    labelNames: ['version', 'cluster', 'node'],
    registers,
  }).set({ version: VERSION, cluster: config.node.cluster, node: config.node.name }, 1)
  new Gauge({
    name: 'hepwrapd_running_containers',
    help: 'Runs that are alive, from their admission to their last trace',
    registers,
    collect() {
      this.set(live.all().length)
    },
  })
  new Gauge({
    name: 'hepwrapd_engine_up',
    help: '1: the container engine answers',
    registers,
    async collect() {
      this.set((await isEngineUp()) ? 1 : 0)
    },
  })
}

const ENGINE_EVERY_MS = 10_000
const ENGINE_ANSWERS_MS = 2000

/** Asked once in a while; an engine that takes longer than a scrape may is not up. */
function rememberUp(ask: () => Promise<unknown>, clock: Clock): () => Promise<boolean> {
  let known: { readonly isUp: Promise<boolean>; readonly atMs: number } | undefined
  return () => {
    const nowMs = clock.monotonicMs()
    if (known === undefined || nowMs - known.atMs > ENGINE_EVERY_MS) {
      const late = () => new Error('the engine does not answer')
      const isUp = within(ENGINE_ANSWERS_MS, ask(), late).then(
        () => true,
        () => false,
      )
      known = { isUp, atMs: nowMs }
    }
    return known.isUp
  }
}

function watchLedger({ ledger, clock }: Daemon, registers: Registers): void {
  const { outbox, retention } = ledger
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(readable(read))
      },
    })
  gauge('hepwrapd_ledger_bytes', 'What the records take on the disk', () => retention.usedBytes())
  gauge(
    'hepwrapd_unsent_records',
    'Records that the aggregator does not have as they are',
    () => outbox.unsent().count,
  )
  gauge(
    'hepwrapd_oldest_unsent_record_age_seconds',
    'For how long the oldest of them has waited; 0: there is none',
    () => {
      const { oldestSince } = outbox.unsent()
      if (oldestSince === undefined) return 0
      return Math.max(0, (clock.nowMs() - Date.parse(oldestSince)) / 1000)
    },
  )
  gauge('hepwrapd_set_aside_records', 'Records that the aggregator refuses as they are', () =>
    outbox.countSetAside(),
  )
  new Counter({
    name: 'hepwrapd_dropped_records_total',
    help: 'Records that left the full ledger before the aggregator had them, ever',
    registers,
    collect() {
      this.reset()
      this.inc(readable(() => retention.dropped().count))
    },
  })
}

/** A ledger that cannot be read must not take the other numbers with it. */
function readable(read: () => number): number {
  try {
    return read()
  } catch {
    return NaN
  }
}

const FORWARDER_STATES = ['off', 'idle', 'sending', 'waiting'] as const

function watchForwarder({ bookkeeping }: Daemon, registers: Registers): void {
  new Gauge({
    name: 'hepwrapd_forwarder_state',
    help: '1 for the state of the forwarder; waiting: after a fault',
    labelNames: ['state'],
    registers,
    collect() {
      const present = bookkeeping.forwarder()?.state() ?? 'off'
      for (const state of FORWARDER_STATES) this.set({ state }, state === present ? 1 : 0)
    },
  })
  new Gauge({
    name: 'hepwrapd_aggregator_clock_skew_seconds',
    help: "How far the aggregator's clock is ahead of this node's; absent until it has answered",
    registers,
    collect() {
      const skewMs = bookkeeping.forwarder()?.skewMs()
      if (skewMs === undefined) this.remove()
      else this.set(skewMs / 1000)
    },
  })
}
