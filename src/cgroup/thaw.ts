// The v1 freezer: a frozen process does not even die of SIGKILL. Slurm gives its step directories to the job's user, who can
// make directories there, move his container into one and freeze it; the epilog would wait in vain and drain the node.
import { lstatSync } from 'node:fs'
import { dirname } from 'node:path'
import { cgroupDirectory, cgroupMounts, type CgroupRoots } from '../proc/cgroup-mounts.js'
import { readCgroups } from '../proc/cgroup-of.js'
import { hasCode } from '../base/has-code.js'
import { writeControl } from './files.js'

export interface ThawSeams {
  readonly roots: CgroupRoots
  readonly procRoot: string
}

/** Thaws whatever users have frozen around these processes, not what Slurm has (a suspended job). */
export function thawProcesses(pids: readonly number[], seams: Partial<ThawSeams> = {}): void {
  const { roots = cgroupMounts(), procRoot = '/proc' } = seams
  const freezer = roots.v1.get('freezer')
  if (freezer === undefined) return
  const paths = new Set(pids.map((pid) => freezerPath(pid, procRoot)))
  for (const path of paths) {
    let directory = path === undefined ? undefined : cgroupDirectory(freezer, path)
    while (directory !== undefined && isUsersOwn(directory)) {
      thaw(directory)
      directory = dirname(directory)
    }
  }
}

function freezerPath(pid: number, procRoot: string): string | undefined {
  try {
    return readCgroups(pid, procRoot).v1.get('freezer')
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ESRCH')) return undefined // it has ended
    throw error
  }
}

/** The kernel gives the files of a directory to whoever made it; Slurm changes the owner of the directory alone. */
function isUsersOwn(directory: string): boolean {
  try {
    return lstatSync(`${directory}/freezer.state`).uid !== 0
  } catch {
    return false // the root has no such file
  }
}

function thaw(directory: string): void {
  try {
    writeControl(directory, 'freezer.state', 'THAWED')
  } catch (error) {
    if (!hasCode(error, 'ENOENT', 'ENODEV')) throw error
  }
}
