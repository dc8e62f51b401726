// Slurm's names in cgroup paths, v1 and v2: one path to what it says. Pure; whether to believe a path is job-of's question.
import { parseJobId, type JobId, type StepId } from '../base/ids.js'

/** What one path of a job's process says. */
export interface SlurmPath {
  readonly version: 1 | 2
  /** From a node-prefixed root (several slurmd on a host, Debian's build). */
  readonly nodeName: string | undefined
  /** v1 only. */
  readonly uid: number | undefined
  readonly jobId: JobId | undefined
  /** v2 of Slurm >= 26.05 instead of jobId, unless CgroupJobIdPaths=yes (cgroup.conf): like "sEKNKTV3WPV500". */
  readonly sluid: string | undefined
  readonly stepId: StepId | undefined
  readonly task: number | undefined
  /**
   * Slurm signals, limits and counts what sits here. v2: in a leaf of step_N/user, task_N or task_special, and not
   * in slurmstepd's own step_N/slurm.
   */
  readonly isForTasks: boolean
  /** The cgroups from the hierarchy's root down to the job, outermost first. */
  readonly ofSlurm: readonly string[]
  /** What of ofSlurm lies below the job; v1 gives these to the job's user (xcgroup_create_hierarchy). */
  readonly ofStep: readonly string[]
}

/** "/slurm_n1/uid_1000/job_7/step_0/task_1", "/slurm/uid_1000/job_7/step_batch"; undefined: names no job. */
export function parseSlurmV1(path: string): SlurmPath | undefined {
  const [root, user, job, ...below] = components(path)
  const node = /^slurm(?:_(.+))?$/.exec(root ?? '')
  const uid = /^uid_(0|[1-9][0-9]{0,9})$/.exec(user ?? '')?.[1]
  const jobId = numberedJob(job)
  if (node === null || uid === undefined || jobId === undefined) return undefined
  const [step, task] = below
  return {
    version: 1,
    nodeName: node[1],
    uid: Number(uid),
    jobId,
    sluid: undefined,
    isForTasks: true,
    ...stepAndTask(path, 3, [step, task], 0),
  }
}

/**
 * "/system.slice/n1_slurmstepd.scope/job_7/step_0/user/task_1", any slice (CgroupSlice), job_N or SLUID;
 * undefined: names no job (slurmstepd.scope/system is Slurm's own). Slurm >= 26.05 leaves out the component of a
 * heterogeneous step.
 */
export function parseSlurmV2(path: string): SlurmPath | undefined {
  const names = components(path)
  const slices = names.findIndex((name) => !/^[^/]+\.slice$/.test(name))
  const node = /^(?:(.+)_)?slurmstepd\.scope$/.exec(names[slices] ?? '')
  const job = names[slices + 1] ?? ''
  const jobId = numberedJob(job)
  const sluid = SLUID.test(job) ? job : undefined
  if (node === null || (jobId === undefined && sluid === undefined)) return undefined
  const [step, kind, leaf] = names.slice(slices + 2)
  const task = kind === 'user' ? leaf : undefined
  const within = kind === 'user' || kind === 'slurm' ? 1 : 0
  const where = stepAndTask(path, slices + 2, [step, task], within)
  const isForTasks = where.stepId !== undefined && task !== undefined
  return { version: 2, nodeName: node[1], uid: undefined, jobId, sluid, isForTasks, ...where }
}

/** The root of Slurm's tree in a v1 hierarchy: "slurm", "slurm_n1". */
export const isSlurmRootV1 = (name: string): boolean => /^slurm(_.+)?$/.test(name)

/** The root of Slurm's tree in the unified hierarchy, below slices: "slurmstepd.scope", "n1_slurmstepd.scope". */
export const isSlurmRootV2 = (name: string): boolean => /^(.+_)?slurmstepd\.scope$/.test(name)

// slurm src/common/sluid.c, print_sluid(): 's' and 64 bits as 13 digits of Crockford's base32. 0 is none.
const SLUID = /^s(?!0{13})[0-9A-F][0-9A-HJKMNP-TV-Z]{12}$/

// slurm src/common/log.c, log_build_step_id_str(): a number, with het component "0+1", or a word.
const STEP = /^step_([0-9]{1,10}(?:\+[0-9]{1,10})?|batch|extern|interactive|TBD)$/

const components = (path: string): string[] =>
  path.startsWith('/') ? path.slice(1).split('/') : []

const numberedJob = (name: string | undefined): JobId | undefined =>
  name?.startsWith('job_') === true ? parseJobId(name.slice('job_'.length)) : undefined

/** `jobDepth` components lead to the job; between step and task lie `between` more. */
function stepAndTask(
  path: string,
  jobDepth: number,
  [step, task]: readonly (string | undefined)[],
  between: number,
): Pick<SlurmPath, 'stepId' | 'task' | 'ofSlurm' | 'ofStep'> {
  const stepId = STEP.exec(step ?? '')?.[1] as StepId | undefined
  const number =
    stepId === undefined ? undefined : /^task_(0|[1-9][0-9]{0,9})$/.exec(task ?? '')?.[1]
  const stepDepth = stepId === undefined ? jobDepth : jobDepth + 1 + between
  const depth = number === undefined ? stepDepth : stepDepth + 1
  const ancestors = ancestorsOf(path).slice(0, depth)
  return {
    stepId,
    task: number === undefined ? undefined : Number(number),
    ofSlurm: ancestors.slice(0, jobDepth),
    ofStep: ancestors.slice(jobDepth),
  }
}

/** "/a/b/c" to "/a", "/a/b", "/a/b/c". */
function ancestorsOf(path: string): string[] {
  const names = components(path)
  return names.map((_, index) => `/${names.slice(0, index + 1).join('/')}`)
}
