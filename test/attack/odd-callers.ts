// Clients that become somebody else between connect and request (attackers/caller.py), in job steps, and what is to be known of them.
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
  chmodSync,
  chownSync,
} from 'node:fs'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import type { RunRequest } from '../../src/wire/run-api.js'
import { FRAME, frame } from '../../src/wire/frames.js'
import { attacker, bareRequest, UPGRADE } from '../slurm/raw-request.js'
import type { Daemon } from '../world/daemon.js'
import { eventually } from '../world/eventually.js'
import { cgroupsOf } from '../world/traces.js'
import { as, type Running, type User } from '../world/world.js'

/** A directory where a test and its attacker meet, open to all users. */
export interface Meeting {
  path: (name: string) => string
  /** Words for `say`: the upgrade, a request, or both. */
  upgrade: string
  request: (more: Partial<RunRequest>) => string
  whole: (more: Partial<RunRequest>) => string
  /** The pid that `mark` wrote. */
  pidOf: (name: string) => Promise<number>
  close: () => void
}

export function openMeeting(): Meeting {
  const directory = mkdtempSync('/tmp/meeting-')
  chmodSync(directory, 0o777)
  let count = 0
  const write = (bytes: Buffer) => {
    const path = join(directory, `words-${++count}`)
    writeFileSync(path, bytes)
    return path
  }
  const path = (name: string) => join(directory, name)
  const requestFrame = (more: Partial<RunRequest>) => frame(FRAME.request, bareRequest(more))
  return {
    path,
    upgrade: write(Buffer.from(UPGRADE)),
    request: (more) => write(requestFrame(more)),
    whole: (more) => write(Buffer.concat([Buffer.from(UPGRADE), requestFrame(more)])),
    pidOf: async (name) => {
      await eventually(() => existsSync(path(name)), { what: `the mark ${name}` })
      return Number(readFileSync(path(name), 'utf8'))
    },
    close: () => rmSync(directory, { recursive: true, force: true }),
  }
}

/** The attacker in a step of his own that outlives him: what he leaves behind goes on until `end`. */
export interface OddCaller extends Running {
  end: () => Promise<string>
}

export function startCaller(
  user: User,
  steps: string[],
  { slurm = [], inJob = true }: { slurm?: string[]; inJob?: boolean } = {},
): OddCaller {
  const before = inJob ? ['srun', '-Q', '-p', 'shared', ...slurm] : []
  const script = 'python3 "$@" </dev/zero & cat >/dev/null; wait'
  const running = as(user).start([
    ...before,
    'bash',
    '-c',
    script,
    'bash',
    attacker('caller'),
    ...steps,
  ])
  return {
    ...running,
    end: async () => {
      running.child.stdin?.end()
      return (await running.result).stdout
    },
  }
}

/** Makes the kernel give this number, now free, to a new process of `argv`; ends it with the function that comes back. */
export async function recyclePid(pid: number, argv: string[]): Promise<() => void> {
  await eventually(() => !existsSync(`/proc/${pid}`), { what: `the end of process ${pid}` })
  const proc = mkdtempSync('/srv/proc-')
  execFileSync('mount', ['-t', 'proc', 'proc', proc]) // the world's own is read-only below sys
  try {
    return await eventually(() => {
      writeFileSync(`${proc}/sys/kernel/ns_last_pid`, String(pid - 1))
      const running = as('root').start(argv)
      if (running.pid === pid) return () => running.kill('SIGKILL')
      running.kill('SIGKILL')
      return undefined
    })
  } finally {
    execFileSync('umount', [proc])
    rmSync(proc, { recursive: true })
  }
}

/** Every cgroup directory of Slurm's in which this process sits. */
export const slurmDirectories = (pid: number): string[] =>
  Object.entries(cgroupsOf(pid)).flatMap(([name, path]) =>
    path.includes('/job_') ? [join('/sys/fs/cgroup', name.replace('name=', ''), path)] : [],
  )

/** The daemon's warnings and refusals with this code, since the log had so many lines. */
export const said = (daemon: Daemon, code: string, since: number): string[] =>
  daemon
    .log()
    .slice(since)
    .flatMap((line) => (line['code'] === code ? [String(line['msg'])] : []))

export function ownFile(path: string, uid: number, content = ''): string {
  writeFileSync(path, content)
  chownSync(path, uid, uid)
  return path
}
