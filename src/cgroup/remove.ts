// Removing what a run or a job has left: rmdir(2) only, which takes nothing that holds a process.
import { dirname } from 'node:path'
import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../base/clock.js'
import type { JobId } from '../base/ids.js'
import { withDirectoryLock } from '../kernel/flock.js'
import type { CgroupRoots } from '../proc/cgroup-mounts.js'
import { isSlurmRootV1, isSlurmRootV2 } from '../slurm/cgroup-names.js'
import { isOwnDirectory, removeEmpty } from './files.js'
import type { Placement } from './placement.js'
import { childrenOf, descendants } from './tree.js'

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
  const mountPoints = new Set([...roots.v1.values()].map(({ mountPoint }) => mountPoint))
  const users = [...mountPoints].flatMap((mountPoint) => usersV1(mountPoint, nodeName))
  const scopes = roots.v2 === undefined ? [] : scopesV2(roots.v2.mountPoint, nodeName)
  const jobs = [...users, ...scopes].flatMap((parent) => childrenNamed(parent, isJob))
  const removed = await retried(() => removeTrees(jobs))
  for (const user of new Set(jobs.map((job) => dirname(job)))) {
    if (users.includes(user)) removeUserV1(user)
  }
  return removed
}

/** Directories like "/sys/fs/cgroup/memory/slurm_n1/uid_1000". */
function usersV1(mountPoint: string, nodeName: string | undefined): readonly string[] {
  return childrenNamed(
    mountPoint,
    (name) => isSlurmRootV1(name) && isOfNode(name, nodeName),
  ).flatMap((slurm) => childrenNamed(slurm, (name) => /^uid_[0-9]+$/.test(name)))
}

/** Directories like "/sys/fs/cgroup/system.slice/n1_slurmstepd.scope". */
function scopesV2(slice: string, nodeName: string | undefined): readonly string[] {
  const here = childrenNamed(slice, (name) => isSlurmRootV2(name) && isOfNode(name, nodeName))
  const slices = childrenNamed(slice, (name) => name.endsWith('.slice'))
  return [...here, ...slices.flatMap((below) => scopesV2(below, nodeName))]
}

/** "slurm_n1" and "n1_slurmstepd.scope" name their node; "slurm" and "slurmstepd.scope" are of the only one. */
const isOfNode = (root: string, nodeName: string | undefined): boolean =>
  nodeName === undefined ||
  ['slurm', `slurm_${nodeName}`, 'slurmstepd.scope', `${nodeName}_slurmstepd.scope`].includes(root)

/**
 * Under slurmstepd's own lock: it makes uid_U and job_J in two steps, and losing the first in between would fail the
 * user's next job. While the lock is taken the directory simply stays; Slurm removes it with that job.
 */
function removeUserV1(user: string): void {
  const slurm = dirname(user)
  withDirectoryLock(dirname(slurm), () => removeEmpty(user))
}

const childrenNamed = (directory: string, accepts: (name: string) => boolean): readonly string[] =>
  (childrenOf(directory) ?? []).filter(accepts).map((name) => `${directory}/${name}`)

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
