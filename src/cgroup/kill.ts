// Ending whatever lives in a run's own directories. Never touches the caller's.
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../base/clock.js'
import { HepwrapError, quote } from '../base/errors.js'
import { hasCode } from '../base/has-code.js'
import { isNamespaceInit } from '../proc/process.js'
import { isOwnDirectory, readControl, readKey, writeControl } from './files.js'
import type { Placement } from './placement.js'
import { thawProcesses } from './thaw.js'
import { descendants } from './tree.js'

/** So long without one process fewer. */
const PATIENCE_MS = 5000
const ROUND_MS = 10
const FREEZE_WAIT_MS = 100

/**
 * SIGKILL until nothing is left; throws HW_CGROUP_FAILED if what is left does not get less for some seconds. What forks as
 * fast as it can goes at once with PID 1 of its namespace: the kernel then kills all others in it and lets none be born.
 */
export async function killPlacement(placement: Placement): Promise<void> {
  let fewest = Infinity
  let deadlineMs = 0
  killWhole(placement)
  while (pidsOf(placement).length > 0) {
    const thaw = await freeze(placement)
    // Read anew each round: a process may have been forked while the list was read.
    const pids = pidsOf(placement)
    if (fewest === Infinity) pids.filter((pid) => isNamespaceInit(pid)).forEach(kill)
    pids.forEach(kill)
    thaw()
    if (pids.length < fewest) {
      fewest = pids.length
      deadlineMs = systemClock.monotonicMs() + PATIENCE_MS
    }
    if (systemClock.monotonicMs() > deadlineMs) {
      throw new HepwrapError(
        'HW_CGROUP_FAILED',
        `processes ${quote(pids.slice(0, 8).join(' '))} of the run do not end`,
      )
    }
    if (placement.version === 1) thawProcesses(pids)
    await sleep(ROUND_MS)
  }
}

/** The processes in the run's own directories and below, without those that no number of ours can name. */
export function pidsOf(placement: Placement): readonly number[] {
  const found = new Set<number>()
  for (const path of ownOf(placement)) {
    for (const directory of descendants(path)) {
      for (const pid of listed(directory)) found.add(pid)
    }
  }
  // 0 is a process outside of our pid namespace, and kill(0) would end ourselves.
  return [...found].filter((pid) => pid > 1 && pid !== process.pid)
}

/** A threaded cgroup lists only threads; a signal to any thread's number reaches its process. */
const listed = (directory: string): readonly number[] =>
  (readControl(directory, 'cgroup.procs') ?? readControl(directory, 'cgroup.threads') ?? '')
    .split('\n')
    .map(Number)

const ownOf = ({ directories }: Placement): readonly string[] =>
  directories.filter(({ path, own }) => own && isOwnDirectory(path)).map(({ path }) => path)

/** cgroup.kill (Linux 5.14) ends a whole tree at once, but not a threaded one. */
function killWhole(placement: Placement): void {
  if (placement.version === 2) ownOf(placement).forEach((path) => tryWrite(path, 'cgroup.kill', 1))
}

/**
 * v2: nothing is born any more in what is frozen, and SIGKILL ends it all the same (cgroup-v2.rst, cgroup.freeze). The v1
 * freezer is Slurm's. Returns the way back.
 */
async function freeze(placement: Placement): Promise<() => void> {
  if (placement.version === 1) return () => undefined
  const paths = ownOf(placement)
  paths.forEach((path) => tryWrite(path, 'cgroup.freeze', 1))
  const isFrozen = (path: string) => readKey(path, 'cgroup.events', 'frozen') !== 0
  for (let waitedMs = 0; waitedMs < FREEZE_WAIT_MS && !paths.every(isFrozen); waitedMs += 1)
    await sleep(1)
  return () => paths.forEach((path) => tryWrite(path, 'cgroup.freeze', 0))
}

function tryWrite(path: string, file: string, value: number): void {
  try {
    writeControl(path, file, value)
  } catch (error) {
    // EOPNOTSUPP: threaded; ENOENT: the kernel is older than the file, or the directory gone
    if (!hasCode(error, 'ENOENT', 'ENODEV', 'EOPNOTSUPP', 'ENOTSUP')) throw error
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if (!hasCode(error, 'ESRCH')) throw error
  }
}
