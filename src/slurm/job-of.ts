// Process to job, step and task, from its own cgroups alone. A path counts only if every directory of it is Slurm's:
// users own subtrees (user@1000.service) in which they may make directories of any name.
import { lstatSync } from 'node:fs'
import { HepwrapError, quote } from '../base/errors.js'
import type { JobId, StepId } from '../base/ids.js'
import {
  cgroupDirectory,
  cgroupMounts,
  type CgroupRoot,
  type CgroupRoots,
} from '../proc/cgroup-mounts.js'
import { readCgroups, type CgroupMembership } from '../proc/cgroup-of.js'
import { readProcess } from '../proc/process.js'
import { parseSlurmV1, parseSlurmV2, type SlurmPath } from './cgroup-names.js'

/** The job that a process belongs to, proved by its cgroups. */
export interface JobRef {
  /** Undefined where the tree says only a SLUID (Slurm >= 26.05): the prolog's word ties it to a job, see the job table. */
  readonly jobId: JobId | undefined
  readonly sluid: string | undefined
  readonly stepId: StepId | undefined
  readonly task: number | undefined
  readonly cgroup: CgroupMembership
}

/** The process asked about, pinned by its start time. identity's Caller is one. */
export interface PinnedProcess {
  readonly pid: number
  readonly uid: number
  readonly startTimeTicks: number
}

/** Where the readings come from; tests own it. */
export interface JobSeams {
  readonly roots: CgroupRoots
  readonly procRoot: string
  /** Who owns Slurm's own directories: root, except in tests without it. */
  readonly slurmUid: number
}

interface Claim {
  readonly hierarchy: string
  readonly root: CgroupRoot | undefined
  readonly path: string
  readonly says: SlurmPath
}

/** The job of a process; undefined: it is in none. Throws HW_JOB_MISMATCH for a claim that is not proved. */
export function jobOf(process: PinnedProcess, seams: Partial<JobSeams> = {}): JobRef | undefined {
  const { procRoot = '/proc', slurmUid = 0 } = seams
  const cgroup = cgroupsOf(process, procRoot)
  const roots = seams.roots ?? cgroupMounts()
  const claims = claimsOf(cgroup, roots)
  if (claims.length === 0) return undefined
  const job = agreed(claims, process)
  for (const claim of claims) {
    requireSlurmsOwn(claim, slurmUid, process.uid)
    requireForTasks(claim)
  }
  return { ...job, cgroup }
}

/** Read, then check that the number still names the same process. */
function cgroupsOf({ pid, startTimeTicks }: PinnedProcess, procRoot: string): CgroupMembership {
  try {
    const cgroup = readCgroups(pid, procRoot)
    if (readProcess(pid, procRoot)?.startTimeTicks === startTimeTicks) return cgroup
  } catch (error) {
    throw new HepwrapError('HW_CALLER_UNKNOWN', `cannot read the cgroups of process ${pid}`, {
      cause: error,
    })
  }
  throw new HepwrapError('HW_CALLER_UNKNOWN', `process ${pid} is gone`)
}

function claimsOf(cgroup: CgroupMembership, roots: CgroupRoots): Claim[] {
  const v1 = [...cgroup.v1].map(([hierarchy, path]) => {
    return { hierarchy, path, root: roots.v1.get(hierarchy), says: parseSlurmV1(path) }
  })
  const path = cgroup.v2 ?? '/'
  const v2 = { hierarchy: 'cgroup2', path, root: roots.v2, says: parseSlurmV2(path) }
  return [...v1, v2].flatMap(({ says, ...claim }) =>
    says === undefined ? [] : [{ ...claim, says }],
  )
}

/** Controllers sit at different depths: what one leaves open another may say, but none may contradict. */
function agreed(
  claims: readonly Claim[],
  process: PinnedProcess,
): Pick<JobRef, 'jobId' | 'sluid' | 'stepId' | 'task'> {
  const one = <K extends keyof SlurmPath>(key: K): SlurmPath[K] | undefined => {
    const said = claims.filter(({ says }) => says[key] !== undefined)
    const odd = said.find(({ says }) => says[key] !== said[0]?.says[key])
    if (odd !== undefined) {
      throw mismatch(
        `${quote(odd.path)} (${odd.hierarchy}) contradicts ${quote(said[0]?.path ?? '')}`,
      )
    }
    return said[0]?.says[key]
  }
  const uid = one('uid')
  if (uid !== undefined && uid !== process.uid && process.uid !== 0) {
    throw mismatch(`the job is of uid ${uid}, the caller is uid ${process.uid}`)
  }
  one('nodeName')
  return { jobId: one('jobId'), sluid: one('sluid'), stepId: one('stepId'), task: taskOf(claims) }
}

/**
 * v1 has two counts: jobacct_gather/cgroup names its directory by the task's rank in the whole step, task/cgroup its
 * directories by its place on the node (measured, 22.05: "task_3" in cpuacct, "task_1" in devices and memory). They
 * differ on every node but the first. The rank is what SLURM_PROCID says.
 */
function taskOf(claims: readonly Claim[]): number | undefined {
  const told = claims.filter(({ says }) => says.task !== undefined)
  const ranked = told.find(({ hierarchy }) => hierarchy === 'cpuacct') ?? told[0]
  return ranked?.says.task
}

/**
 * All that leads to the job, the slices above Slurm's root too, is root's own, and nobody else may write there. Below
 * the job, v1 gives step and task to the job's user (slurm 22.05 and 24.11, xcgroup.c): he can make siblings there,
 * which stay inside his job. On v2 22.05 gives him the task's directory, but none of its files (measured): he can make
 * directories there, and move nobody.
 */
function requireSlurmsOwn({ hierarchy, root, says }: Claim, slurmUid: number, uid: number): void {
  const taskOwners = [slurmUid, says.version === 1 ? says.uid : uid]
  const stepOwners = says.version === 1 ? taskOwners : [slurmUid]
  const check = (path: string, owners: readonly (number | undefined)[]) => {
    const directory = root === undefined ? undefined : cgroupDirectory(root, path)
    if (directory === undefined) throw mismatch(`${quote(path)} (${hierarchy}) cannot be seen here`)
    if (!isOwnedBy(directory, owners)) throw mismatch(`${quote(directory)} is not Slurm's own`)
  }
  for (const path of says.ofSlurm) check(path, [slurmUid])
  const task = says.task === undefined ? undefined : says.ofStep.at(-1)
  for (const path of says.ofStep) check(path, path === task ? taskOwners : stepOwners)
}

/** Elsewhere in the job Slurm's signals and the step's limits would not reach a container. */
function requireForTasks({ hierarchy, path, says }: Claim): void {
  if (!says.isForTasks) throw mismatch(`${quote(path)} (${hierarchy}) is no place of a task`)
}

function isOwnedBy(directory: string, owners: readonly (number | undefined)[]): boolean {
  try {
    const stat = lstatSync(directory)
    return stat.isDirectory() && owners.includes(stat.uid) && (stat.mode & 0o022) === 0
  } catch {
    return false
  }
}

const mismatch = (message: string) => new HepwrapError('HW_JOB_MISMATCH', message)
