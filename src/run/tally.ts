// What is counted of runs while they go: for the node's metrics, which know no user and no image.
import type { ReasonCode } from '../base/errors.js'
import type { RecordState } from '../wire/usage-api.js'

export interface RunTally {
  /** A command is about to begin: how long each part of its launch took, and all of it, ms. */
  launched(parts: Readonly<Record<string, number>>, totalMs: number): void
  /** A run that never became a command, by the site's word or by a fault. */
  refused(code: ReasonCode): void
  /** A run that had been admitted is over, whether or not its command ever began. */
  ended(state: RecordState): void
}
