// Undoing a run, by its id alone: the normal end, an aborted start, the epilog and recovery after a crash all call this.
// Every step is idempotent, and a step that fails does not keep the next from being tried.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Logger } from '../base/log.js'
import { OUR_PREFIX, type RunId } from '../base/ids.js'
import type { Counters } from '../cgroup/counters.js'
import { killPlacement, pidsOf } from '../cgroup/kill.js'
import type { Placement } from '../cgroup/placement.js'
import { removePlacement } from '../cgroup/remove.js'
import type { Usage } from '../cgroup/usage.js'
import type { Engine } from '../engine/engine.js'
import { unstageMounts } from '../mounts/staging.js'
import type { RunDeps } from './run-deps.js'

export const containerName = (runId: RunId): string => `${OUR_PREFIX}${runId}`
export const runDirectory = (runDir: string, runId: string): string => join(runDir, 'runs', runId)

/** A client is not kept waiting for an engine that hangs; the container is tried again behind its back. */
const REMOVE_PATIENCE_MS = 5000
const EMPTY_POLL_MS = 2
const EMPTY_WAIT_MS = 10_000

/** Kills what is left in the run's cgroup, reads its counters when the last process has been accounted, removes it. */
export async function closePlacement(
  placement: Placement,
  { counters, log }: Pick<UndoDeps, 'counters' | 'log'>,
): Promise<Usage | undefined> {
  await attempt(log, 'empty the cgroup', () => waitUntilEmpty(placement))
  const usage = await attempt(log, 'read the counters', () => counters.end(placement))
  const isRemoved = await attempt(log, 'remove the cgroup', () => removePlacement(placement))
  if (isRemoved !== true) log.warn({ placement }, 'cgroup directories remain')
  return usage
}

/** PID 1 is dead when this is called; the rest of its pid namespace dies with it, but not at the same instant. */
async function waitUntilEmpty(placement: Placement): Promise<void> {
  for (
    let waitedMs = 0;
    waitedMs < EMPTY_WAIT_MS && pidsOf(placement).length > 0;
    waitedMs += EMPTY_POLL_MS
  ) {
    if (waitedMs > 50) await killPlacement(placement)
    await new Promise((resolve) => setTimeout(resolve, EMPTY_POLL_MS))
  }
}

export function removeRunDirectory(directory: string, log: Logger): void {
  try {
    unstageMounts(directory)
    rmSync(directory, { recursive: true, force: true })
  } catch (error) {
    log.warn({ err: error, directory }, 'cannot remove the run directory')
  }
}

export interface UndoDeps {
  readonly engine: Engine
  readonly counters: Counters
  readonly runDir: string
  readonly log: Logger
  /** Called where the engine did not remove the container: it must be tried again. */
  readonly onLeftOver: (runId: RunId) => void
}

export const undoDeps = ({ engine, counters, config, log, orphans }: RunDeps): UndoDeps => ({
  engine,
  counters,
  runDir: config.node.run_dir,
  log,
  onLeftOver: () => orphans.suspect(),
})

export async function removeContainer(
  runId: RunId,
  { engine, log, onLeftOver }: UndoDeps,
): Promise<void> {
  const leftOver = (error?: unknown) => {
    log.warn({ err: error, runId }, 'cannot remove the container now')
    onLeftOver(runId)
  }
  let timer: NodeJS.Timeout | undefined
  const patience = new Promise<void>((resolve) => {
    timer = setTimeout(() => {
      leftOver()
      resolve()
    }, REMOVE_PATIENCE_MS)
  })
  await Promise.race([engine.remove(containerName(runId)).catch(leftOver), patience])
  clearTimeout(timer)
}

/** All of it, for a run that nobody holds any more. Returns the counters where the cgroup still had them. */
export async function undoRun(
  runId: RunId,
  placement: Placement | undefined,
  deps: UndoDeps,
): Promise<Usage | undefined> {
  if (placement !== undefined) await attempt(deps.log, 'kill', () => killPlacement(placement))
  await removeContainer(runId, deps)
  const usage = placement === undefined ? undefined : await closePlacement(placement, deps)
  removeRunDirectory(runDirectory(deps.runDir, runId), deps.log)
  return usage
}

async function attempt<T>(
  log: Logger,
  what: string,
  action: () => T | Promise<T>,
): Promise<T | undefined> {
  try {
    return await action()
  } catch (error) {
    log.warn({ err: error }, `cannot ${what}`)
    return undefined
  }
}
