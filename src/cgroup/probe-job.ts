// What doctor starts its probes in: on v1 the daemon's own cgroups; on v2 a tree like a job's, because a run has no memory
// limit there but its job's. As slurmstepd makes it: a domain with the limit, "user" with the same, and below it the
// leaf of a task, which has a process.
//
// It lies just below the root that we see. In our own service (system.slice/hepwrapd.service) it cannot lie: that has a
// process, the daemon, and a cgroup with processes gives its children no memory controller (cgroup-v2.rst, No Internal
// Process Constraint). systemd leaves alone what it has not made, as it does with the engine's /docker; nothing of
// ours stays there longer than the probes, and what a daemon that died has left is removed by the next doctor.
import { mkdirSync } from 'node:fs'
import { HepwrapError, quote } from '../base/errors.js'
import { newRunId, OUR_PREFIX } from '../base/ids.js'
import { cgroupDirectory, type CgroupRoot, type CgroupRoots } from '../proc/cgroup-mounts.js'
import { readCgroups, type CgroupMembership } from '../proc/cgroup-of.js'
import { isOwnDirectory, readControl, readCount, readKey, writeControl } from './files.js'
import type { PlacementLimits } from './placement-types.js'
import { removeWhole } from './remove.js'
import { childrenOf } from './tree.js'

/** cpuset, cpu and memory are what Slurm hands on; io and pids what hepwrapd adds. */
const CONTROLLERS = ['cpuset', 'cpu', 'memory', 'io', 'pids']

export interface ProbeJob {
  /** The task's cgroup is empty and must get a process (v2). */
  readonly isEmpty: boolean
  /** What a run must have of its own, because the job cannot have it (v1). */
  readonly limits: PlacementLimits
  /** Moves a process into the task's cgroup. */
  enter(pid: number): void
  /** The cgroups of a task of the job; `pid` is in it. */
  membership(pid: number): CgroupMembership
  /** CPU time that the task's cgroup has counted: what sstat would read. */
  cpuUsec(): number | undefined
  /** Kills that the step's cgroup has counted, by which Slurm knows OUT_OF_MEMORY; undefined on v1: see the run's own. */
  oomKills(): number | undefined
  /** Once nothing of the probes is left in it; false: something is. */
  remove(): Promise<boolean>
}

/** Throws HW_CGROUP_FAILED. */
export async function makeProbeJob(roots: CgroupRoots, memoryBytes: number): Promise<ProbeJob> {
  const { v1, v2 } = roots
  if (v1.has('memory') || v2 === undefined) return ownCgroups(roots, memoryBytes)
  await sweepProbeJobs(v2)
  const job = `${v2.mountPoint}/${OUR_PREFIX}${newRunId()}`
  const leaf = `${job}/user/task_0`
  try {
    makeTree(v2, job, memoryBytes)
    mkdirSync(leaf, { mode: 0o755 })
  } catch (cause) {
    await removeWhole(job)
    if (cause instanceof HepwrapError) throw cause
    const text = `cannot make a tree like a job's at ${quote(job)}`
    throw new HepwrapError('HW_CGROUP_FAILED', text, { cause })
  }
  return {
    isEmpty: true,
    limits: {},
    enter: (pid) => writeControl(leaf, 'cgroup.procs', pid),
    membership: (pid) => readCgroups(pid),
    cpuUsec: () => readKey(leaf, 'cpu.stat', 'usage_usec'),
    oomKills: () => readKey(`${job}/user`, 'memory.events', 'oom_kill'),
    remove: () => removeWhole(job),
  }
}

function ownCgroups({ v1 }: CgroupRoots, memoryBytes: number): ProbeJob {
  const membership = readCgroups(process.pid)
  const root = v1.get('cpuacct')
  const path = membership.v1.get('cpuacct')
  const leaf = root && path ? cgroupDirectory(root, path) : undefined
  return {
    isEmpty: false,
    limits: { memoryBytes },
    enter: () => undefined,
    membership: () => membership,
    cpuUsec: () => {
      const nsec = leaf === undefined ? undefined : readCount(leaf, 'cpuacct.usage')
      return nsec === undefined ? undefined : nsec / 1000
    },
    oomKills: () => undefined,
    remove: () => Promise.resolve(true),
  }
}

function makeTree({ mountPoint }: CgroupRoot, job: string, memoryBytes: number): void {
  for (const directory of [job, `${job}/user`]) {
    mkdirSync(directory, { mode: 0o755 })
    handOn(directory)
    if (readControl(directory, 'memory.max') === undefined) throw lacksMemory(mountPoint)
    writeControl(directory, 'memory.max', memoryBytes)
    // absent where the kernel counts no swap; else a limit would only send the probe there
    if (readControl(directory, 'memory.swap.max') !== undefined)
      writeControl(directory, 'memory.swap.max', 0)
  }
}

const lacksMemory = (mountPoint: string) =>
  new HepwrapError(
    'HW_CGROUP_FAILED',
    `${quote(mountPoint)} hands on no memory controller, but "${readControl(mountPoint, 'cgroup.subtree_control') ?? ''}"`,
  )

/** What there is of our controllers to the children. */
function handOn(directory: string): void {
  const has = (readControl(directory, 'cgroup.controllers') ?? '').split(' ')
  for (const controller of CONTROLLERS.filter((name) => has.includes(name)))
    writeControl(directory, 'cgroup.subtree_control', `+${controller}`)
}

/** What a daemon that died has left. Those of a daemon that lives have processes. */
async function sweepProbeJobs({ mountPoint }: CgroupRoot): Promise<void> {
  const isProbeJob = (path: string) =>
    isOwnDirectory(path) && childrenOf(path)?.includes('user') === true
  const left = (childrenOf(mountPoint) ?? []).map((name) => `${mountPoint}/${name}`)
  for (const job of left.filter(isProbeJob)) await removeWhole(job)
}
