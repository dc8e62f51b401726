// What follows from the aggregator's answer to a batch: the ledger's marks move, the next batch is another one, or a record is
// set aside. What must outlive the daemon is in the ledger; what is here in memory only makes the next attempt a better guess.
// INVARIANTS: what is acknowledged never passes a record that the aggregator has not taken, unless that one was set aside; a
// record is set aside only where the same request without it is taken.
import { rfc3339 } from '../base/clock.js'
import { HepwrapError } from '../base/errors.js'
import { MOST_ROWS, type LedgerBatch } from './batch.js'
import type { DeliveryParts, Patience, Post, Step } from './delivery.js'
import type { Verdict } from './verdict.js'

export interface FollowUp {
  /** How many records the next batch should have. */
  rows(): number
  on(verdict: Verdict, batch: LedgerBatch, patience: Patience): Promise<Step>
}

/** Beyond so many in a row, with none taken between them, it is the aggregator that is wrong: then one a wait. */
const ASIDE_IN_A_ROW = 10
const SAID_CHARACTERS = 500
const AT_ONCE: Step = { kind: 'progress', sent: 0, isMore: true }

export function createFollowUp(parts: DeliveryParts, post: Post): FollowUp {
  const { outbox } = parts.ledger
  const goBack = createGoingBack(parts)
  const setAside = createSettingAside(parts, post)
  let rows = MOST_ROWS
  let ceiling = MOST_ROWS

  const taken = ({ upto, records, isFull }: LedgerBatch): Step => {
    outbox.setAcked(upto)
    goBack.forget()
    setAside.forget()
    rows = Math.min(ceiling, rows * 2)
    return { kind: 'progress', sent: records.length, isMore: isFull }
  }
  /** Until the one that is refused is alone. */
  const halve = (count: number, error: HepwrapError): Step => {
    rows = Math.ceil(count / 2)
    parts.log.debug({ code: error.code, count }, 'a batch is refused; half of it is tried')
    return AT_ONCE
  }

  return {
    rows: () => rows,
    on: async (verdict, batch, patience) => {
      const { length: count } = batch.records
      switch (verdict.kind) {
        case 'taken':
          return taken(batch)
        case 'gap':
          return goBack.to(verdict.acked, batch)
        case 'ahead':
          return goBack.toBegin(verdict.acked)
        case 'too-large':
        case 'malformed':
          // One that is too large alone says nothing about how many may go together.
          if (verdict.kind === 'too-large') ceiling = count > 1 ? Math.ceil(count / 2) : MOST_ROWS
          return count > 1 ? halve(count, verdict.error) : setAside.one(batch, verdict, patience)
        case 'fault':
          return verdict
      }
    },
  }
}

function createGoingBack({ ledger, log }: DeliveryParts) {
  const { outbox, nodeFacts } = ledger
  let gaps = 0
  let hasRenewed = false
  return {
    forget: () => void (gaps = 0),
    /** Its store was put back from a copy, or is a new one. */
    to: (acked: number, { after }: LedgerBatch): Step => {
      log.warn(
        { acked, after },
        'the aggregator has less than it once had: what the ledger has of it is sent again',
      )
      outbox.setAcked(acked)
      nodeFacts.markAllUnsent()
      gaps += 1
      return gaps > 1 ? refused('HW_BATCH_GAP', 'the aggregator goes back again') : AT_ONCE
    },
    /** This ledger was put back from a copy: the numbers that it gives now were others' before. */
    toBegin: (acked: number): Step => {
      const claim = `the aggregator has change ${acked} of this ledger, which has sent none beyond ${outbox.mostSent()}`
      if (hasRenewed) return refused('HW_AGGREGATOR_REPLY', `${claim}, and it is new`)
      hasRenewed = true
      outbox.renew()
      nodeFacts.markAllUnsent()
      log.warn(
        { acked, ledger: outbox.ledgerId() },
        `${claim}: the ledger must be an older copy, and goes on under a new id; all of it is sent again`,
      )
      return AT_ONCE
    },
  }
}

function createSettingAside({ ledger, clock, log }: DeliveryParts, post: Post) {
  let inARow = 0
  return {
    forget: () => void (inARow = 0),
    one: async (
      { after, records }: LedgerBatch,
      { error }: Extract<Verdict, { kind: 'malformed' | 'too-large' }>,
      patience: Patience,
    ): Promise<Step> => {
      const without = await post({ after, upto: after, body: '' }, patience)
      if (without.kind === 'fault') return without
      if (without.kind !== 'taken') return refused(error.code, error.message)
      for (const { record, changeSeq } of records) {
        const said = `${error.message} (${error.code})`.slice(0, SAID_CHARACTERS)
        ledger.outbox.setAside({ id: record.id, changeSeq, said, since: rfc3339(clock.nowMs()) })
        log.error(
          { runId: record.id, code: error.code },
          `the aggregator refuses this record, which is set aside: ${error.message}`,
        )
      }
      inARow += 1
      return inARow > ASIDE_IN_A_ROW
        ? refused('HW_AGGREGATOR_REPLY', `record after record is refused: ${error.message}`)
        : AT_ONCE
    },
  }
}

const refused = (code: HepwrapError['code'], message: string): Step => ({
  kind: 'fault',
  outcome: 'refused',
  error: new HepwrapError(code, message),
  retryAfterMs: undefined,
})
