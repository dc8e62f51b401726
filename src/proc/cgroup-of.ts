// In which cgroups a process sits: /proc/PID/cgroup, cgroups(7).
import { readFileSync } from 'node:fs'

export interface CgroupMembership {
  /** Controller ("memory"; co-mounted ones each; "name=systemd" for a named hierarchy) to path below its hierarchy's root. */
  readonly v1: ReadonlyMap<string, string>
  /** Path in the unified hierarchy; undefined where the kernel has none. */
  readonly v2: string | undefined
}

/** The cgroups of a process; throws (ENOENT, ESRCH) if there is no such process. */
export const readCgroups = (pid: number | 'self', procRoot = '/proc'): CgroupMembership =>
  parseCgroups(readFileSync(`${procRoot}/${pid}/cgroup`, 'utf8'))

/** Lines like "4:memory:/slurm_n1/uid_1000/job_7/step_0/task_0" and "0::/system.slice/x.scope". */
export function parseCgroups(text: string): CgroupMembership {
  const v1 = new Map<string, string>()
  let v2: string | undefined
  for (const line of text.split('\n')) {
    if (line === '') continue
    const [, hierarchy, controllers, path] = /^([0-9]+):([^:]*):(\/.*)$/.exec(line) ?? []
    if (controllers === undefined || path === undefined) {
      throw new Error(`not a line of /proc/PID/cgroup: ${JSON.stringify(line)}`)
    }
    if (hierarchy === '0' && controllers === '') v2 = path
    else for (const controller of controllers.split(',')) v1.set(controller, path)
  }
  return { v1, v2 }
}
