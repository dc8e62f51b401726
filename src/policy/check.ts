// What a check is: a pure question to the finished plan, answered point by point.
import type { ReasonCode } from '../base/errors.js'
import type { DaemonConfig } from '../config/schema.js'
import type { RunPlan } from '../plan/run-plan.js'
import type { SitePolicy } from '../rules/site-policy.js'

export interface Refusal {
  readonly code: ReasonCode
  /** Quotes the value that was asked for and names the key that refuses it. */
  readonly text: string
}

export interface Verdict {
  /** "image", "mount", "--memory" */
  readonly point: string
  readonly value: string
  /** Where the site says so; "" where the kernel's word alone decides. */
  readonly decidedBy: string
  /** Undefined: no objection. */
  readonly refusal?: Refusal
}

export type Check = (plan: RunPlan, site: SitePolicy, config: DaemonConfig) => readonly Verdict[]
