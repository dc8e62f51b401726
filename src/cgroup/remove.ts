// Removing what a run or a job has left: rmdir(2) only, which takes nothing that holds a process.
import { basename, dirname } from 'node:path'
import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../base/clock.js'
import type { JobId } from '../base/ids.js'
import { withDirectoryLock } from '../kernel/flock.js'
import type { CgroupRoots } from '../proc/cgroup-mounts.js'
import { isSlurmRootV2 } from '../slurm/cgroup-names.js'
import { isOwnDirectory, readKey, removeEmpty } from './files.js'
import type { Placement } from './placement.js'
import { childrenNamed, slurmRootsV1, slurmRootsV2 } from './slurm-trees.js'
import { descendants } from './tree.js'

// A process that has been killed holds its directory until it has been reaped.
const PATIENCE_MS = 2000
const FIRST_PAUSE_MS = 1
const LONGEST_PAUSE_MS = 50

const TURN_DIRECTORIES = 64

/** Removes the run's own directories with whatever was made below them; false: something still lives there. */
export async function removePlacement(placement: Placement): Promise<boolean> {
  const own = placement.directories.filter(({ own, path }) => own && isOwnDirectory(path))
  return retried(() => removeTrees(own.map(({ path }) => path)))
}

/**
 * For recovery: slurmstepd tries once to remove its directories, and ours was in the way while no daemon was there. Only of a
 * job in which nothing lives, its slurmstepd neither. v2; on v1 the epilog does it.
 */
export async function removeEndedJob({ version, directories }: Placement): Promise<void> {
  const own = directories.find(({ own, path }) => own && isOwnDirectory(path))
  if (version === 1 || own === undefined) return
  let job = dirname(own.path)
  while (job !== '/' && !isSlurmRootV2(basename(dirname(job)))) job = dirname(job)
  if (readKey(job, 'cgroup.events', 'populated') === 0) await removeTree(job)
}

/** A directory with all below it; false: something lives there. */
export const removeWhole = (directory: string): Promise<boolean> =>
  retried(() => removeTree(directory))

export interface JobNames {
  /** The name that Slurm >= 26.05 gives the job's directory. */
  readonly sluid?: string | undefined
  /** Of several slurmd on one host only this one's tree is touched; undefined: all there are. */
  readonly nodeName?: string | undefined
}

/**
 * For the epilog: the directories of an ended job in every hierarchy, bottom up, and its user's above it if that was
 * his last job here. False: some still hold a process.
 */
export async function removeJobDirectories(
  jobId: JobId,
  roots: CgroupRoots,
  { sluid, nodeName }: JobNames = {},
): Promise<boolean> {
  const isJob = (name: string) => name === `job_${jobId}` || (sluid !== undefined && name === sluid)
  const users = slurmRootsV1(roots, nodeName).flatMap((slurm) =>
    childrenNamed(slurm, (name) => /^uid_[0-9]+$/.test(name)),
  )
  const parents = [...users, ...slurmRootsV2(roots, nodeName)]
  const jobs = parents.flatMap((parent) => childrenNamed(parent, isJob))
  const removed = await retried(() => removeTrees(jobs))
  for (const user of new Set(jobs.map((job) => dirname(job)))) {
    if (users.includes(user)) removeUserV1(user)
  }
  return removed
}

/**
 * Under slurmstepd's own lock: it makes uid_U and job_J in two steps, and losing the first in between would fail the
 * user's next job. While the lock is taken the directory simply stays; Slurm removes it with that job.
 */
function removeUserV1(user: string): void {
  const slurm = dirname(user)
  withDirectoryLock(dirname(slurm), () => removeEmpty(user))
}

/** In turns: a user owns his step's directories on v1 and may have made thousands. */
async function removeTree(directory: string): Promise<boolean> {
  let all = true
  let turn = 0
  for (const each of descendants(directory)) {
    all = removeEmpty(each) && all
    turn += 1
    if (turn % TURN_DIRECTORIES === 0) await setImmediate()
  }
  return all
}

async function removeTrees(directories: readonly string[]): Promise<boolean> {
  let all = true
  for (const directory of directories) all = (await removeTree(directory)) && all
  return all
}

/** Tries until it succeeds or time is up. */
async function retried(attempt: () => Promise<boolean>): Promise<boolean> {
  const deadlineMs = systemClock.monotonicMs() + PATIENCE_MS
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    if (await attempt()) return true
    if (systemClock.monotonicMs() > deadlineMs) return false
    await sleep(pauseMs)
  }
}
