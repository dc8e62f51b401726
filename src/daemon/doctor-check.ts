// What a check of doctor's is, and how it says what is wrong together with what mends just that.
import { HepwrapError, type ReasonCode } from '../base/errors.js'
import type { Daemon } from './compose.js'
import type { ProbeBench } from './probe.js'

export interface Check {
  readonly name: string
  readonly mend: string | ((code: ReasonCode) => string)
  /** Returns what was found; throws what is wrong. */
  readonly examine: (daemon: Daemon, bench: ProbeBench) => Promise<string>
}

/** A finding with a mend of its own. */
export class Unfit extends HepwrapError {
  readonly mend: string

  constructor(message: string, mend: string) {
    super('HW_CGROUP_FAILED', message)
    this.mend = mend
  }
}
