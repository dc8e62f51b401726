// Start is recovery: what a dead daemon left is ended, its records are closed truthfully, and nothing of it remains.
// State is the ledger (which runs, and where their cgroups are), the engine's labels, and the run directory.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { rfc3339 } from '../base/clock.js'
import { REASONS } from '../base/errors.js'
import type { RunId } from '../base/ids.js'
import { isPlacement } from '../cgroup/placement.js'
import { removeEndedJob } from '../cgroup/remove.js'
import type { OpenRun } from '../accounting/ledger.js'
import type { RunDeps } from './run-deps.js'
import { usageFields } from './run-record.js'
import { removeRunDirectory, undoDeps, undoRun } from './undo.js'

export async function recover(deps: RunDeps): Promise<void> {
  for (const left of deps.ledger.unfinished()) {
    try {
      await closeLeftRun(left, deps)
    } catch (error) {
      // Its row says RUNNING until a later start can write more; the others need not wait for that.
      deps.log.error({ err: error, runId: left.record.id }, 'cannot close a run of a dead daemon')
    }
  }
  await deps.orphans.sweep()
  removeRunDirectories(deps)
}

async function closeLeftRun({ record, undo }: OpenRun, deps: RunDeps): Promise<void> {
  const runId = record.id as RunId
  const placement = isPlacement(undo.placement) ? undo.placement : undefined
  const usage = await undoRun(runId, placement, undoDeps(deps))
  if (placement !== undefined) await removeEndedJob(placement)
  const isOutOfMemory = (usage?.oomKills ?? 0) > 0
  deps.ledger.change(runId, {
    state: isOutOfMemory ? 'OUT_OF_MEMORY' : 'NODE_FAIL',
    reason: isOutOfMemory ? 'HW_OOM_KILLED' : 'HW_DAEMON_RESTARTED',
    exit_code: REASONS.HW_DAEMON_RESTARTED.exit,
    ended_at: rfc3339(deps.clock.nowMs()),
    ...usageFields(usage),
  })
  deps.log.warn({ runId, jobId: record.job_id, uid: record.uid }, 'run of a dead daemon closed')
}

/** What nobody holds is nobody's; runs may have begun meanwhile, for a start does not wait for an engine that hangs. */
function removeRunDirectories({ config, live, log }: RunDeps): void {
  const parent = join(config.node.run_dir, 'runs')
  for (const name of readdirSync(parent))
    if (!live.isHeld(name)) removeRunDirectory(join(parent, name), log)
}
