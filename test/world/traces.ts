// What a run leaves on the node, seen from outside hepwrap: cgroups, containers, mounts, processes,
// log lines.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { testEngine } from './engine.js'

export const cgroupRoot = '/sys/fs/cgroup'

/** 2: the one hierarchy of v2. 1: a hierarchy for each controller, with or without an empty v2 beside them. */
export const cgroupVersion = existsSync(`${cgroupRoot}/cgroup.controllers`) ? 2 : 1

/** What of cgroupsOf() says where a process sits: the path of a controller on v1, the only path on v2. */
export const pathIn = (cgroups: Record<string, string>, controller = 'memory'): string =>
  cgroups[cgroupVersion === 1 ? controller : '']!

/** The directory of that path. */
export const directoryIn = (cgroups: Record<string, string>, controller = 'memory'): string =>
  `${cgroupRoot}${cgroupVersion === 1 ? `/${controller}` : ''}${pathIn(cgroups, controller)}`

/** The processes of a cgroup. A threaded one lists threads only, each of which names its process in /proc. */
export function pidsIn(directory: string): number[] {
  const type = cgroupVersion === 2 && readFileSync(`${directory}/cgroup.type`, 'utf8').trim()
  const list = type === 'threaded' ? 'cgroup.threads' : 'cgroup.procs'
  const numbers = readFileSync(`${directory}/${list}`, 'utf8').split('\n').filter(Boolean)
  return [...new Set(numbers.flatMap((number) => processOf(number) ?? []))]
}

function processOf(thread: string): number | undefined {
  try {
    return Number(/^Tgid:\s+(\d+)$/m.exec(readFileSync(`/proc/${thread}/status`, 'utf8'))?.[1])
  } catch {
    return undefined
  }
}

/** Every cgroup directory, of every hierarchy, whose own name matches. */
export function cgroupsNamed(pattern: RegExp): string[] {
  return cgroupDirectories(cgroupRoot).filter((path) => pattern.test(path.split('/').at(-1)!))
}

/** Every cgroup directory whose whole path matches: /job_7\b/ finds all of a job. */
export function cgroupsBelow(pattern: RegExp): string[] {
  return cgroupDirectories(cgroupRoot).filter((path) => pattern.test(path))
}

/** Where a process sits: {memory: '/slurm_n1/uid_2001/…', 'name=systemd': '/', '': '/'}. */
export function cgroupsOf(pid: number | 'self', text?: string): Record<string, string> {
  const lines = (text ?? readFileSync(`/proc/${pid}/cgroup`, 'utf8')).trim().split('\n')
  return Object.fromEntries(
    lines.flatMap((line) => {
      const [, controllers, ...path] = line.split(':')
      return controllers!.split(',').map((name) => [name, path.join(':')])
    }),
  )
}

function cgroupDirectories(directory: string): string[] {
  return entriesOf(directory).flatMap((name) => {
    const path = join(directory, name)
    return [path, ...cgroupDirectories(path)]
  })
}

// Directories vanish while they are listed.
function entriesOf(directory: string): string[] {
  try {
    const entries = readdirSync(directory, { withFileTypes: true })
    return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name)
  } catch {
    return []
  }
}

export interface Mount {
  mountPoint: string
  root: string
  type: string
  source: string
  options: string[]
}

export function mounts(pid: number | 'self' = 'self'): Mount[] {
  const lines = readFileSync(`/proc/${pid}/mountinfo`, 'utf8').trim().split('\n')
  return lines.map((line) => {
    const [own, shared] = line.split(' - ')
    const [, , , root, mountPoint, options] = own!.split(' ').map(unescape)
    const [type, source] = shared!.split(' ').map(unescape)
    return {
      mountPoint: mountPoint!,
      root: root!,
      type: type!,
      source: source!,
      options: options!.split(','),
    }
  })
}

// Blanks and the like are written as \040.
function unescape(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(parseInt(octal, 8)),
  )
}

export interface Container {
  Id: string
  Names: string[]
  Image: string
  State: string
  Labels: Record<string, string>
}

/** All containers of the engine, whoever made them, ended ones included. */
export async function containers(): Promise<Container[]> {
  return (await engine('GET', '/containers/json?all=1')).body as Container[]
}

/** One request to the engine's API; the body is parsed if it is JSON. */
export function engine(
  method: string,
  path: string,
  body?: unknown,
  socketPath = testEngine.socketPath,
) {
  return new Promise<{ status: number; body: unknown }>((resolve, reject) => {
    const headers = body === undefined ? {} : { 'content-type': 'application/json' }
    const asked = request({ socketPath, method, path, headers }, (reply) => {
      const chunks: Buffer[] = []
      reply.on('data', (chunk: Buffer) => chunks.push(chunk))
      reply.on('error', reject)
      reply.on('end', () => {
        const text = Buffer.concat(chunks).toString()
        const isJson = reply.headers['content-type']?.startsWith('application/json')
        resolve({ status: reply.statusCode ?? 0, body: isJson && text ? JSON.parse(text) : text })
      })
    })
    asked.on('error', reject)
    asked.end(body === undefined ? undefined : JSON.stringify(body))
  })
}

export interface Process {
  pid: number
  command: string[]
  uid: number
  ppid: number
  state: string
}

/** Every process of the world whose command line, joined by blanks, matches. */
export function processes(pattern = /./): Process[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => readProcess(Number(name)) ?? [])
    .filter(({ command }) => pattern.test(command.join(' ')))
}

function readProcess(pid: number): Process | undefined {
  try {
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1)
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    const field = (name: string) => new RegExp(`^${name}:\\s+(\\S+)`, 'm').exec(status)?.[1] ?? ''
    return {
      pid,
      command,
      uid: Number(field('Uid')),
      ppid: Number(field('PPid')),
      state: field('State'),
    }
  } catch {
    return undefined
  }
}

/** Everything that hepwrap could have left behind; all lists empty when the node is clean. */
export async function leftovers(runDirectories = /^\/run\/hepwrap(-n\d)?\//) {
  const ours = (await containers()).filter(({ Labels }) => 'hepwrap.run' in Labels)
  return {
    cgroups: cgroupsNamed(/^hepwrap-/),
    containers: ours.map(({ Names, State }) => `${Names[0]} ${State}`),
    mounts: mounts()
      .map(({ mountPoint }) => mountPoint)
      .filter((path) => runDirectories.test(path)),
    inits: processes(/^\/\.hepwrap[^/]*\/init/).map(({ pid }) => pid),
  }
}
export const nothing = { cgroups: [], containers: [], mounts: [], inits: [] }

/** Marks the end of a log now; the function it returns gives the lines written since. */
export function logSince(
  name: `slurmd-n${1 | 2 | 3}` | 'slurmctld' | 'dockerd' | 'podman',
): () => string[] {
  const path = `/var/log/world/${name}.log`
  const start = statSync(path).size
  return () => readFileSync(path).subarray(start).toString().split('\n').filter(Boolean)
}

/** Lines in which slurmd or slurmstepd complain about more than a cancelled job. */
export function complaints(lines: string[]): string[] {
  return lines.filter((line) => complaint.test(line) && !usual.test(line))
}
const complaint = /error|unable|fail|warning/i
// A cancelled batch job takes its sruns with it, so that their steps find nobody to tell. Later versions of Slurm call the end of
// each step an error's text, and the use of one of two cpus a warning; an emulated machine is slow.
const usual =
  /debug levels are|debug\d?:|CANCELLED AT|DUE TO TIME LIMIT|Failed to send MESSAGE_TASK_EXIT|restricted to a subset of cpus|stepd_cleanup: done with step|very large processing time/
