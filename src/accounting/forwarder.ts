// The loop that brings the ledger to the aggregator, as long as the daemon lives. Runs never wait for it: it only reads what
// they have written, and what it has not sent stays in the ledger.
// INVARIANTS: nothing thrown leaves the loop; a fault is one line in the log, and another one only where it is another fault or
// ten minutes have passed; between two attempts there is a wait, unless the last one has moved something.
import { setTimeout as wait } from 'node:timers/promises'
import { rfc3339 } from '../base/clock.js'
import { asHepwrapError, type HepwrapError } from '../base/errors.js'
import { onceInAWhile } from '../base/once-in-a-while.js'
import { createBackOff } from './back-off.js'
import { createClockWatch, type ClockWatch } from './clock-watch.js'
import { createDelivery, type DeliveryParts, type ReplyOutcome, type Step } from './delivery.js'

export interface ForwarderParts extends Omit<DeliveryParts, 'onReply'> {
  /** For jitter: 0 to 1. */
  readonly random?: () => number
  readonly onOutcome?: (outcome: ReplyOutcome | 'unreachable') => void
  /** In place of GATHER_MS. */
  readonly gatherMs?: number
}

/** waiting: after a fault. */
export type ForwarderState = 'idle' | 'sending' | 'waiting'

export interface Forwarder {
  state(): ForwarderState
  /** The last fault, while it lasts. */
  fault(): HepwrapError | undefined
  /** How far the aggregator's clock is ahead of ours, ms; undefined: not known yet. */
  skewMs(): number | undefined
  /** Resolves when the loop has ended, after one last quick attempt. */
  stop(): Promise<void>
}

/** What changes within so long goes together: the start and the end of a short run are one record of one batch. */
const GATHER_MS = 1000
/** Between two full batches: whoever has a day's records to send has runs to start, too. */
const PAUSE_MS = 100
/** For how long nothing may move. */
const SILENCE_MS = 30_000
const REQUEST_MS = 120_000
const LAST_ATTEMPT_MS = 2000
const SAY_AGAIN_MS = 10 * 60_000

export function startForwarder(parts: ForwarderParts): Forwarder {
  const { log, ledger, gatherMs = GATHER_MS } = parts
  const stopping = new AbortController()
  const killing = new AbortController()
  const backOff = createBackOff(parts.random ?? Math.random)
  const watchClock = createClockWatch(parts.clock, log)
  const faults = createFaultLog(parts)
  const attempt = createAttempt(parts, watchClock, killing.signal)
  let state: ForwarderState = 'idle'

  /** Says how long to wait. */
  const follow = (step: Step): number => {
    if (step.kind === 'fault') {
      state = 'waiting'
      const waitMs = backOff.next(step.retryAfterMs)
      if (!killing.signal.aborted) faults.begin(step, waitMs)
      return waitMs
    }
    state = 'idle'
    if (step.kind === 'progress' && step.sent === 0) return 0 // the next attempt is another one
    if (step.kind === 'progress') faults.end()
    backOff.reset()
    return step.kind === 'progress' && step.isMore ? Math.min(PAUSE_MS, gatherMs) : gatherMs
  }
  const loop = async () => {
    while (!stopping.signal.aborted) {
      if (state === 'idle') state = 'sending'
      const waitMs = follow(await attempt(SILENCE_MS, REQUEST_MS))
      await wait(waitMs, undefined, { signal: stopping.signal }).catch(() => undefined)
    }
    if (state !== 'waiting') follow(await attempt(LAST_ATTEMPT_MS, LAST_ATTEMPT_MS))
  }
  takeUpSetAside(parts)
  const ended = loop().catch((error: unknown) => log.error({ err: error }, 'forwarding has ended'))

  return {
    state: () => state,
    fault: () => faults.present(),
    skewMs: () => watchClock.skewMs(),
    stop: async () => {
      stopping.abort()
      const timer = setTimeout(() => killing.abort(), LAST_ATTEMPT_MS)
      await ended
      clearTimeout(timer)
      log.debug({ acked: ledger.outbox.acked() }, 'forwarding has stopped')
    },
  }
}

/** Never throws: what upstream and ledger throw is a fault like any other. */
function createAttempt(parts: ForwarderParts, watchClock: ClockWatch, killed: AbortSignal) {
  const { onOutcome } = parts
  const deliver = createDelivery({
    ...parts,
    onReply: (outcome, reply) => {
      onOutcome?.(outcome)
      watchClock.see(reply)
    },
  })
  return async (silenceMs: number, requestMs: number): Promise<Step> => {
    const signal = AbortSignal.any([AbortSignal.timeout(requestMs), killed])
    try {
      return await deliver({ timeoutMs: silenceMs, signal })
    } catch (thrown) {
      const error = asHepwrapError(thrown)
      if (error.code !== 'HW_LEDGER_UNAVAILABLE') onOutcome?.('unreachable')
      return { kind: 'fault', outcome: 'busy', error, retryAfterMs: undefined }
    }
  }
}

/** The aggregator, or this daemon, may be another version than when it was refused. */
function takeUpSetAside({ ledger, cluster, node, clock, log }: ForwarderParts): void {
  try {
    const others = ledger.outbox.sendAs({ cluster, node }, rfc3339(clock.nowMs()))
    const records = ledger.outbox.retrySetAside({ cluster, node })
    if (records > 0) log.info({ records }, 'what was set aside is tried again')
    if (others > 0)
      log.error(
        { records: others },
        `records of another name than ${cluster}/${node} are set aside: the aggregator takes none of them from this node`,
      )
  } catch (error) {
    log.error({ err: error }, 'what was set aside cannot be taken up')
  }
}

function createFaultLog({ log, clock, ledger }: ForwarderParts) {
  let mayRepeat = onceInAWhile(clock, SAY_AGAIN_MS)
  let present: { readonly error: HepwrapError; readonly sinceMs: number } | undefined
  return {
    present: () => present?.error,
    begin: ({ outcome, error }: Extract<Step, { kind: 'fault' }>, waitMs: number): void => {
      present = { error, sinceMs: present?.sinceMs ?? clock.monotonicMs() }
      if (!mayRepeat(error.code)) return
      const level = outcome === 'refused' ? 'error' : 'warn'
      log[level](
        { code: error.code, wait_ms: Math.round(waitMs), acked: ledger.outbox.acked() },
        `records wait in the ledger: ${error.message}`,
      )
    },
    end: (): void => {
      if (present === undefined) return
      const afterMs = Math.round(clock.monotonicMs() - present.sinceMs)
      log.info({ after_ms: afterMs }, 'the aggregator takes records again')
      present = undefined
      mayRepeat = onceInAWhile(clock, SAY_AGAIN_MS)
    },
  }
}
