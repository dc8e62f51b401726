// Containers of ours that nobody holds: left by a daemon that died, or by an engine that was down when we wanted to remove
// them. They are found by our labels, so that nothing of another tool's is ever touched.
import { isRunId } from '../base/ids.js'
import type { Logger } from '../base/log.js'
import type { Engine } from '../engine/engine.js'
import type { LiveRuns } from './live-runs.js'

export interface OrphanReaper {
  /** A container may be left: look at the next sweep. */
  suspect(): void
  /** Removes every container of ours that no live run holds; keeps the suspicion where the engine does not answer. */
  sweep(): Promise<void>
}

export function createOrphanReaper(engine: Engine, live: LiveRuns, log: Logger): OrphanReaper {
  let isSuspected = true // of a daemon that died before this one
  let sweeping: Promise<void> | undefined

  const removeAll = async (): Promise<void> => {
    isSuspected = false
    try {
      for (const { id, runId } of await engine.listOwn()) {
        if (live.isHeld(runId)) continue
        await engine.remove(id)
        log.info({ runId: isRunId(runId) ? runId : undefined, containerId: id }, 'orphan removed')
      }
    } catch (error) {
      isSuspected = true
      log.warn({ err: error }, 'cannot remove orphans now')
    }
  }

  return {
    suspect: () => void (isSuspected = true),
    sweep: async () => {
      if (!isSuspected) return
      sweeping ??= removeAll().finally(() => (sweeping = undefined))
      await sweeping
    },
  }
}
