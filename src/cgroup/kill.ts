// Ending whatever lives in a run's own directories. Never touches the caller's.
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../base/clock.js'
import { HepwrapError, quote } from '../base/errors.js'
import { hasCode } from '../base/has-code.js'
import { isOwnDirectory, readControl, writeControl } from './files.js'
import type { Placement } from './placement.js'
import { thawProcesses } from './thaw.js'
import { descendants } from './tree.js'

const PATIENCE_MS = 5000
const ROUND_MS = 10

/** SIGKILL until nothing is left; throws HW_CGROUP_FAILED if something still is after some seconds. */
export async function killPlacement(placement: Placement): Promise<void> {
  const deadlineMs = systemClock.monotonicMs() + PATIENCE_MS
  killWhole(placement)
  for (;;) {
    // Read anew each round: a process may have been forked while the list was read.
    const pids = pidsOf(placement)
    if (pids.length === 0) return
    if (systemClock.monotonicMs() > deadlineMs) {
      throw new HepwrapError(
        'HW_CGROUP_FAILED',
        `processes ${quote(pids.slice(0, 8).join(' '))} of the run do not end`,
      )
    }
    for (const pid of pids) kill(pid)
    if (placement.version === 1) thawProcesses(pids)
    await sleep(ROUND_MS)
  }
}

/** The processes in the run's own directories and below, without those that no number of ours can name. */
export function pidsOf(placement: Placement): readonly number[] {
  const found = new Set<number>()
  for (const { path, own } of placement.directories) {
    if (!own || !isOwnDirectory(path)) continue
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

/** cgroup.kill (Linux 5.14, not in threaded cgroups) ends the whole tree at once. */
function killWhole({ version, directories }: Placement): void {
  if (version === 1) return
  for (const { path, own } of directories) {
    if (!own || !isOwnDirectory(path)) continue
    try {
      writeControl(path, 'cgroup.kill', 1)
    } catch (error) {
      if (!hasCode(error, 'ENOENT', 'ENODEV', 'EOPNOTSUPP', 'ENOTSUP')) throw error
    }
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if (!hasCode(error, 'ESRCH')) throw error
  }
}
