// What a check is: a pure question to the finished plan.
import type { ReasonCode } from '../base/errors.js'
import type { DaemonConfig } from '../config/schema.js'
import type { RunPlan } from '../plan/run-plan.js'

export interface Refusal {
  readonly code: ReasonCode
  /** Quotes the value that was asked for and names the rule that refuses it. */
  readonly text: string
}

/** Undefined: this rule has no objection. */
export type Check = (plan: RunPlan, config: DaemonConfig) => Refusal | undefined
