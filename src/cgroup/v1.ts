// cgroup v1: one directory a hierarchy, each at the caller's own depth there.
import { dirname } from 'node:path'
import { HepwrapError, quote } from '../base/errors.js'
import { cgroupDirectory, type CgroupRoots } from '../proc/cgroup-mounts.js'
import type { CgroupMembership } from '../proc/cgroup-of.js'
import { ENGINE_DEVICES } from './devices.js'
import { hasCode } from '../base/has-code.js'
import { readControl, writeControl } from './files.js'
import { makeDirectories } from './make.js'
import type { DeviceNumbers, PlacedDirectory, PlacementLimits } from './placement-types.js'

// Named hierarchies, a hybrid's unified one and the other controllers are left alone.
const OWN = ['memory', 'cpuset', 'devices', 'cpuacct', 'cpu', 'pids', 'blkio']
const CALLERS = 'freezer'

const CFS_PERIOD_USEC = 100_000
const MIN_CPUS = 0.01 // the kernel takes no quota below 1 ms

/** Own directories first, the freezer last: a suspended step stops the process only when it is whole in its place. */
export function planV1(
  { v1 }: CgroupMembership,
  name: string,
  roots: CgroupRoots,
): readonly PlacedDirectory[] {
  const planned = new Map<string, PlacedDirectory>()
  for (const controller of [...OWN, CALLERS]) {
    const root = roots.v1.get(controller)
    const path = v1.get(controller)
    if (root === undefined || path === undefined) continue // not in this kernel, or not mounted
    const leaf = cgroupDirectory(root, path)
    if (leaf === undefined) throw failed(`${quote(path)} (${controller}) cannot be seen here`)
    const own = controller !== CALLERS
    const known = planned.get(root.mountPoint)
    planned.set(root.mountPoint, {
      controller: known === undefined ? controller : `${known.controller},${controller}`,
      path: own ? `${leaf}/${name}` : leaf,
      own: known?.own ?? own,
    })
  }
  const directories = [...planned.values()]
  if (!directories.some((directory) => directory.own))
    throw failed('no cgroup hierarchy is mounted here')
  return directories
}

export function makeV1(own: readonly PlacedDirectory[], limits: PlacementLimits): void {
  if (limits.cpus !== undefined && limits.cpus < MIN_CPUS) {
    throw new HepwrapError('HW_OPTION_INVALID', `cpus ${limits.cpus} is below ${MIN_CPUS}`)
  }
  makeDirectories(own, (directory) => {
    for (const controller of directory.controller.split(',')) {
      PREPARE[controller]?.(directory.path, limits)
    }
  })
}

const PREPARE: Readonly<Record<string, (path: string, limits: PlacementLimits) => void>> = {
  // A new cpuset is empty, and nothing may enter it (cpusets(7)).
  cpuset: (path) => {
    for (const file of ['cpuset.cpus', 'cpuset.mems']) {
      writeControl(path, file, readControl(dirname(path), file) ?? '')
    }
  },
  memory: (path, { memoryBytes }) => {
    if (memoryBytes !== undefined) writeControl(path, 'memory.limit_in_bytes', memoryBytes)
  },
  cpu: (path, { cpus }) => {
    if (cpus === undefined) return
    writeControl(path, 'cpu.cfs_period_us', CFS_PERIOD_USEC)
    writeControl(path, 'cpu.cfs_quota_us', Math.round(cpus * CFS_PERIOD_USEC))
  },
  pids: (path, { pidsMax }) => {
    if (pidsMax !== undefined) writeControl(path, 'pids.max', pidsMax)
  },
  devices: (path, { devices = [] }) => {
    allowEngineDevices(path)
    devices.forEach((device) => allowDevice(path, device))
  },
}

/**
 * Below Slurm's directory ours inherits Slurm's filter; the process leaves the engine's own filter, so that is written
 * again here. A rule that Slurm's filter denies is refused by the kernel (EPERM): both filters hold.
 */
function allowEngineDevices(path: string): void {
  writeControl(path, 'devices.deny', 'a')
  for (const rule of ENGINE_DEVICES) {
    try {
      writeControl(path, 'devices.allow', rule)
    } catch (error) {
      if (!hasCode(error, 'EPERM')) throw error
    }
  }
}

/** The device must be the job's: a child's rule may not go beyond its parent's (devices.rst of cgroup v1). */
function allowDevice(path: string, { path: name, type, major, minor }: DeviceNumbers): void {
  try {
    writeControl(path, 'devices.allow', `${type} ${major}:${minor} rw`)
  } catch (cause) {
    if (!hasCode(cause, 'EPERM')) throw cause
    throw new HepwrapError('HW_DEVICE', `device ${quote(name)} is not of this job`, { cause })
  }
}

const failed = (message: string) => new HepwrapError('HW_CGROUP_FAILED', message)
