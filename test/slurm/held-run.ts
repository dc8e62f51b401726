// A container that waits on its stdin, with what is to be known of it from outside: its processes on the node.
import { readFileSync } from 'node:fs'
import { eventually } from '../world/eventually.js'
import { cgroupsOf, processes } from '../world/traces.js'
import { as, type CommandOptions, expectSuccess, type Running, type User } from '../world/world.js'

export interface HeldRun extends Running {
  /** The init, and the command, as the node numbers them. */
  initPid: number
  payloadPid: number
  /** Fields of /proc/PID/status of the command, and its cgroups. */
  status: (field: string) => string
  cgroups: Record<string, string>
  /** Ends stdin, and with it the container; throws if it did not end well. */
  release: () => Promise<void>
}

export interface HeldRunOptions extends CommandOptions {
  command?: string[]
  image?: string
}

/** `before` stands before hepwrap: srun with its options, unshare, nothing. The command must end with its stdin. */
export async function holdRun(
  user: User,
  before: string[] = ['srun', '-Q'],
  options: string[] = [],
  { command = ['cat'], image = 'busybox:test', ...more }: HeldRunOptions = {},
): Promise<HeldRun> {
  const known = new Set(inits().map(({ pid }) => pid))
  const run = ['hepwrap', 'run', '-i', ...options, image, ...command]
  const running = as(user).start([...before, ...run], more)
  const { initPid, payloadPid } = await eventually(
    () => {
      const init = inits().find(({ pid }) => !known.has(pid))
      const payload = processes().find(({ ppid }) => ppid === init?.pid)
      return init && payload ? { initPid: init.pid, payloadPid: payload.pid } : undefined
    },
    { what: `the container of ${run.join(' ')}: ${running.stderrSoFar()}` },
  )
  return {
    ...running,
    initPid,
    payloadPid,
    status: (field) => statusField(payloadPid, field),
    cgroups: cgroupsOf(payloadPid),
    release: async () => {
      running.child.stdin?.end()
      expectSuccess(await running.result)
    },
  }
}

export const inits = () => processes(/^\/\.hepwrap[^/]*\/init /)

/** "Uid" of /proc/PID/status as "2001 2001 2001 2001". */
export function statusField(pid: number, field: string): string {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return (
    new RegExp(`^${field}:[ \\t]*(.*)$`, 'm').exec(status)?.[1]?.replaceAll('\t', ' ').trim() ?? ''
  )
}
