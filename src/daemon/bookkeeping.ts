// What goes on beside the runs: the ledger's records go to the aggregator, the ledger stays within its bounds, and what this node
// is gets noted. No run waits for any of it.
import { startForwarder, type Forwarder } from '../accounting/forwarder.js'
import { keepWithinBounds } from '../accounting/ledger-keeper.js'
import { onceInAWhile } from '../base/once-in-a-while.js'
import type { DaemonConfig } from '../config/schema.js'
import { openUpstream, type Upstream } from '../upstream/upstream.js'
import type { Daemon } from './compose.js'
import { watchNodeFacts } from './node-facts.js'

export interface Bookkeeping {
  /** The site's aggregator; undefined: none is configured. */
  readonly aggregator: Upstream | undefined
  /** Undefined before the start, and without an aggregator. */
  forwarder(): Forwarder | undefined
  start(daemon: Daemon): void
  stop(): Promise<void>
}

const KEEP_EVERY_MS = 60_000
const SAY_AGAIN_MS = 10 * 60_000
const MIB = 1024 * 1024

/** Throws HW_CONFIG_INVALID where token or CA are unfit. */
export function createBookkeeping(config: DaemonConfig): Bookkeeping {
  const aggregator = openAggregator(config)
  const stops: (() => void)[] = []
  let forwarder: Forwarder | undefined
  return {
    aggregator,
    forwarder: () => forwarder,
    start: (daemon) => {
      const { ledger, clock, log, meters } = daemon
      const { onOutcome } = meters
      const { cluster, name: node } = config.node
      stops.push(watchNodeFacts(daemon), watchBounds(daemon))
      if (aggregator !== undefined)
        forwarder = startForwarder({
          ledger,
          upstream: aggregator,
          cluster,
          node,
          clock,
          log,
          onOutcome,
        })
    },
    stop: async () => {
      stops.forEach((stop) => stop())
      await forwarder?.stop()
      aggregator?.close()
    },
  }
}

export const openAggregator = ({ accounting }: DaemonConfig): Upstream | undefined =>
  accounting.aggregator === ''
    ? undefined
    : openUpstream({
        url: accounting.aggregator,
        auth: accounting.auth,
        tokenFile: accounting.token_file,
        caFile: accounting.ca_file,
      })

/** Returns how to stop. */
function watchBounds({ ledger, config, clock, log, isStopping }: Daemon): () => void {
  const { keep_days, max_ledger_mb, aggregator } = config.accounting
  const mayWarn = onceInAWhile(clock, SAY_AGAIN_MS)
  let isLooking = false
  const look = async () => {
    if (isLooking) return
    isLooking = true
    try {
      const bounds = { keepDays: keep_days, maxBytes: max_ledger_mb * MIB }
      await keepWithinBounds({ ledger, isSentOn: aggregator !== '', clock, log, ...bounds })
    } catch (error) {
      if (!isStopping() && mayWarn('bounds'))
        log.error({ err: error }, 'old records cannot leave the ledger')
    } finally {
      isLooking = false
    }
  }
  void look()
  const timer = setInterval(() => void look(), KEEP_EVERY_MS).unref()
  return () => clearInterval(timer)
}
