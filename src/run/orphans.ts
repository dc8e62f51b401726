// Containers of ours that nobody holds: left by a daemon that died, or by an engine that was down when we wanted to remove
// them. They are found by our labels, so that nothing of another tool's is ever touched.
import type { ContainerId, RunId } from '../base/ids.js'
import type { Logger } from '../base/log.js'
import type { Engine } from '../engine/engine.js'
import type { LiveRuns } from './live-runs.js'

/** Every so many sweeps the engine is asked without a suspicion: what a slow engine does at last, nobody can suspect in time. */
const ROUTINE_SWEEPS = 30

export interface OrphanReaper {
  /** A container may be left: look at the next sweep. */
  suspect(): void
  /** Removes every container of ours that no live run holds; keeps the suspicion where the engine does not answer. */
  sweep(): Promise<void>
}

export function createOrphanReaper(engine: Engine, live: LiveRuns, log: Logger): OrphanReaper {
  let isSuspected = true // of a daemon that died before this one
  let quietSweeps = 0
  let sweeping: Promise<void> | undefined

  /** One that cannot be removed now does not keep the others. */
  const removeOne = async (containerId: ContainerId, runId: RunId): Promise<void> => {
    try {
      await engine.remove(containerId)
      log.info({ runId, containerId }, 'orphan removed')
    } catch (error) {
      isSuspected = true
      log.warn({ err: error, runId, containerId }, 'cannot remove an orphan now')
    }
  }

  const removeAll = async (): Promise<void> => {
    isSuspected = false
    try {
      for (const { id, runId } of await engine.listOwn()) {
        if (!live.isHeld(runId)) await removeOne(id, runId)
      }
    } catch (error) {
      isSuspected = true
      log.warn({ err: error }, 'cannot look for orphans now')
    }
  }

  return {
    suspect: () => void (isSuspected = true),
    sweep: async () => {
      if (!isSuspected && ++quietSweeps < ROUTINE_SWEEPS) return
      quietSweeps = 0
      sweeping ??= removeAll().finally(() => (sweeping = undefined))
      await sweeping
    },
  }
}
