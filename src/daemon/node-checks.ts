// The doctor's checks of what is there before anything is started: the engine's driver, the cgroup layout with Slurm's trees in
// it, and Slurm's own configuration where it can be read.
import { readFileSync, statfsSync } from 'node:fs'
import { childrenNamed, slurmRootsV1, slurmRootsV2 } from '../cgroup/slurm-trees.js'
import { parseSlurmV2 } from '../slurm/cgroup-names.js'
import { readSlurmConf, type SlurmConf } from '../slurm/slurm-conf.js'
import type { Daemon } from './compose.js'
import { Unfit, type Check } from './doctor-check.js'

export const NODE_CHECKS: readonly Check[] = [
  {
    name: 'cgroup driver',
    mend: 'set the engine\'s "native.cgroupdriver" to cgroupfs, or run systemd on this node',
    examine: examineDriver,
  },
  { name: 'cgroup layout', mend: 'mount cgroup v2, or v1 with memory', examine: examineLayout },
  { name: 'slurm', mend: 'correct slurm.conf and cgroup.conf', examine: examineSlurm },
]

/** As placement decides it: where the kernel counts memory. */
const versionOf = ({ cgroupRoots }: Daemon): 1 | 2 => (cgroupRoots.v1.has('memory') ? 1 : 2)

async function examineDriver(daemon: Daemon): Promise<string> {
  const { cgroupDriver, cgroupVersion } = await daemon.engine.facts()
  const nodeVersion = versionOf(daemon)
  if (cgroupVersion !== nodeVersion)
    throw new Unfit(
      `the engine uses cgroup v${cgroupVersion}, this node has v${nodeVersion}`,
      'restart the engine; the two must see the same /sys/fs/cgroup',
    )
  if (cgroupDriver !== 'cgroupfs' && cgroupDriver !== 'systemd')
    throw new Unfit(
      `the engine has no cgroup driver (${cgroupDriver}): is it rootless?`,
      'let the engine run as root',
    )
  if (cgroupDriver === 'systemd' && !hasSystemd())
    throw new Unfit(
      "the engine's cgroup driver is systemd, and systemd does not run here",
      'set the engine\'s "native.cgroupdriver" to cgroupfs',
    )
  return `${cgroupDriver}, cgroup v${cgroupVersion}`
}

/** sd_booted(3) */
function hasSystemd(): boolean {
  try {
    statfsSync('/run/systemd/system')
    return true
  } catch {
    return false
  }
}

const NO_ROOT_MEND =
  'start slurmd; its proctrack/cgroup and task/cgroup make the tree (slurm.conf: ProctrackType, TaskPlugin)'

async function examineLayout(daemon: Daemon): Promise<string> {
  const { cgroupRoots, config } = daemon
  const isV1 = versionOf(daemon) === 1
  const found = isV1 ? slurmRootsV1(cgroupRoots) : slurmRootsV2(cgroupRoots)
  const isHybrid = isV1 && cgroupRoots.v2 !== undefined
  const layout = isV1 ? `cgroup v1${isHybrid ? ' (hybrid)' : ''}` : 'cgroup v2'
  if (found.length === 0) {
    if (config.slurm.outside_jobs === 'allow') return `${layout}; no tree of Slurm's`
    throw new Unfit(`${layout}, and Slurm has no tree in it`, NO_ROOT_MEND)
  }
  if (isV1) return `${layout}; Slurm in ${found.map((path) => path.slice(MOUNT.length)).join(' ')}`
  for (const root of found) requireControllers(root)
  return `${layout}; ${found.map((root) => describeRoot(root, daemon)).join('; ')}`
}

const MOUNT = '/sys/fs/cgroup'

function requireControllers(root: string): void {
  const has = readFileSync(`${root}/cgroup.controllers`, 'utf8').trim().split(' ')
  const missing = ['cpuset', 'cpu', 'memory'].filter((controller) => !has.includes(controller))
  if (missing.length > 0)
    throw new Unfit(
      `Slurm's tree ${root} lacks ${missing.join(', ')}`,
      'EnableControllers=yes in cgroup.conf, or Delegate=yes in slurmd.service; then restart slurmd without jobs',
    )
}

/** "Slurm in /system.slice/slurmstepd.scope; 3 jobs by SLUID, 1 of them not announced". */
function describeRoot(root: string, { cgroupRoots, jobs }: Daemon): string {
  const at = root.slice(cgroupRoots.v2?.mountPoint.length ?? 0)
  const inside = childrenNamed(root, () => true).map((path) =>
    parseSlurmV2(`/slurmstepd.scope${path.slice(root.length)}`),
  )
  const sluids = inside.flatMap((says) => says?.sluid ?? [])
  const numbered = inside.filter((says) => says?.jobId !== undefined).length
  const unannounced = sluids.filter((sluid) => jobs.findBySluid(sluid) === undefined).length
  return [
    `Slurm in ${at}`,
    ...(numbered > 0 ? [`${numbered} as job_N`] : []),
    ...(sluids.length > 0 ? [`${sluids.length} by SLUID, ${unannounced} not announced`] : []),
  ].join(', ')
}

async function examineSlurm(daemon: Daemon): Promise<string> {
  const conf = readSlurmConf(daemon.config.node.name)
  if (conf === undefined) return 'no slurm.conf can be read on this node: not checked'
  const wrong = faultsOf(conf, versionOf(daemon))
  if (wrong.length > 0)
    throw new Unfit(
      `${conf.path}: ${wrong.map(({ found }) => found).join('; ')}`,
      wrong.map(({ mend }) => mend).join('; '),
    )
  const constrained = conf.constrains.map((name) => `Constrain${name}`).join(' ')
  return `${conf.path}: ${conf.processTracking}, ${conf.taskPlugins.join(',')}, ${conf.accountGathering}; ${constrained}`
}

export interface Fault {
  readonly found: string
  readonly mend: string
}

/** What of Slurm's configuration lets a job out of its limits, and its containers with it. */
export function faultsOf(conf: SlurmConf, version: 1 | 2): readonly Fault[] {
  const faults: Fault[] = []
  const demand = (holds: boolean, found: string, mend: string) => {
    if (!holds) faults.push({ found, mend })
  }
  const { processTracking, taskPlugins, constrains, cgroupPlugin } = conf
  demand(
    processTracking === 'proctrack/cgroup',
    `ProctrackType=${processTracking}: Slurm kills by other lists than its cgroups`,
    'ProctrackType=proctrack/cgroup in slurm.conf',
  )
  demand(
    taskPlugins.includes('task/cgroup'),
    `TaskPlugin=${taskPlugins.join(',')}: nothing limits a task`,
    'TaskPlugin=task/affinity,task/cgroup in slurm.conf',
  )
  demand(
    constrains.includes('RAMSpace'),
    'ConstrainRAMSpace=no: no job has a memory limit',
    'ConstrainRAMSpace=yes in cgroup.conf',
  )
  demand(
    ['autodetect', `cgroup/v${version}`].includes(cgroupPlugin),
    `CgroupPlugin=${cgroupPlugin}, and this node has cgroup v${version}`,
    'CgroupPlugin=autodetect in cgroup.conf',
  )
  return faults
}
