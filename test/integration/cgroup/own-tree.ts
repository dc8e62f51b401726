// A corner of the real cgroup v1 hierarchies for one test file: /hepwrap-unit-PID in each, as a job's directories would be.
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { cgroupMounts, type CgroupRoots } from '../../../src/proc/cgroup-mounts.js'
import type { CgroupMembership } from '../../../src/proc/cgroup-of.js'
import { descendants } from '../../../src/cgroup/tree.js'
import { removeEmpty } from '../../../src/cgroup/files.js'
import { eventually } from '../../world/eventually.js'

export const CONTROLLERS = [
  'memory',
  'cpuset',
  'devices',
  'cpuacct',
  'cpu',
  'pids',
  'blkio',
  'freezer',
]

export interface Waiting {
  readonly pid: number
  readonly go: () => void
  /** Its stdout so far. */
  readonly output: () => string
}

export interface OwnTree {
  readonly roots: CgroupRoots
  /** As /proc/PID/cgroup would say of a process in the tree; cpu, pids and blkio at the tree's top, as with Slurm. */
  readonly membership: CgroupMembership
  /** The directory of the tree in a hierarchy. */
  top(controller: string): string
  leaf(controller: string): string
  /** A shell outside of the tree that waits for `go` and then runs the script. */
  start(script: string): Promise<Waiting>
  remove(): Promise<void>
}

export function makeOwnTree(): OwnTree {
  const roots = cgroupMounts()
  const name = `/hepwrap-unit-${process.pid}`
  const deep = ['memory', 'devices', 'cpuacct', 'cpuset', 'freezer']
  const paths = new Map(CONTROLLERS.map((c) => [c, deep.includes(c) ? `${name}/leaf` : name]))
  const directory = (controller: string, path: string) => {
    const root = roots.v1.get(controller)
    if (root === undefined)
      throw new Error(`${controller} is not mounted: this test needs cgroup v1`)
    return root.mountPoint + path
  }
  for (const [controller, path] of paths) {
    for (const each of new Set([name, path])) {
      const made = directory(controller, each)
      mkdirSync(made, { recursive: true })
      if (controller === 'cpuset') copyCpuset(made)
    }
  }
  const children: ChildProcess[] = []
  return {
    roots,
    membership: { v1: paths, v2: '/' },
    top: (controller) => directory(controller, name),
    leaf: (controller) => directory(controller, paths.get(controller) ?? ''),
    start: async (script) => {
      const child = spawn('sh', ['-c', `read go\n${script}`], { stdio: ['pipe', 'pipe', 'ignore'] })
      children.push(child)
      await once(child, 'spawn')
      let output = ''
      child.stdout.on('data', (chunk) => (output += String(chunk)))
      return { pid: child.pid ?? 0, go: () => child.stdin.end('go\n'), output: () => output }
    },
    remove: async () => {
      for (const child of children) child.kill('SIGKILL')
      await eventually(() =>
        CONTROLLERS.flatMap((c) => descendants(directory(c, name))).every((each) =>
          removeEmpty(each),
        ),
      )
    },
  }
}

function copyCpuset(directory: string): void {
  for (const file of ['cpuset.cpus', 'cpuset.mems']) {
    writeFileSync(`${directory}/${file}`, readFileSync(`${directory}/../${file}`, 'utf8'))
  }
}
