// Starts the init as PID 1 of an unprivileged pid namespace (unshare(1)) and plays the daemon at its gate.
// Owns the processes, sockets and folders it makes; `endRuns` removes them. What a run must do is the tests' matter.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { chmodSync, linkSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { sendDescriptors } from '../../../src/kernel/send-descriptors.js'
import { fdOf } from '../../../src/run/gate.js'

export const GRACE_MS = 400

// As in a container: no capability is left, and /proc shows the namespace.
const NAMESPACES = ['-U', '--map-user=1000', '--map-group=1000', '-p', '-m']
const PID_1 = [...NAMESPACES, '--fork', '--kill-child', '--mount-proc']

// Root is who owns the files of an undumpable process (proc(5)), so the command must not be root.
const USER = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {}

const CC_FLAGS = [
  '-std=gnu11',
  '-O2',
  '-static',
  '-Wall',
  '-Wextra',
  '-Werror',
  '-Wconversion',
  '-s',
]

/** Reports whether this machine lets an ordinary user make the namespaces that a run needs. */
export const hasNamespaces = spawnSync('unshare', [...PID_1, 'true'], USER).status === 0

export interface Programs {
  readonly folder: string
  readonly init: string
  readonly pty: string
}

/** Compiles the init with the flags of the build, a short grace. */
export function compilePrograms(): Programs {
  const folder = mkdtempSync(join(tmpdir(), 'hepwrap-init-'))
  chmodSync(folder, 0o755)
  const programs = { folder, init: join(folder, 'init'), pty: join(folder, 'pty') }
  const defines = [`-DGRACE_MS=${GRACE_MS}`]
  compile([...CC_FLAGS, ...defines, '-o', programs.init, resolve('src/native/init.c')])
  compile(['-o', programs.pty, resolve('test/unit/native/fixtures/pty.c'), '-lutil'])
  return programs
}

function compile(args: string[]): void {
  const { status, stderr } = spawnSync('cc', args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`cc ${args.join(' ')}: ${stderr}`)
}

export interface RunOptions {
  readonly env?: NodeJS.ProcessEnv
  readonly terminal?: boolean
  readonly gate?: 'listening' | 'absent'
  /** A descriptor that the engine forgot to close. */
  readonly leakedFd?: number
}

export interface RunEnd {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
  /** The lines that came from the gate. */
  readonly lines: readonly string[]
}

export interface InitRun {
  readonly folder: string
  say(bytes: string | Buffer): void
  /** A text with open files. */
  give(text: string, descriptors: readonly number[]): void
  /** Breaks the connection, as a daemon that dies. */
  leave(): void
  type(keys: string): void
  heard(line: string): Promise<void>
  printed(text: string): Promise<void>
  /** When nobody holds its stdout any more. */
  readonly printedAll: Promise<void>
  /** Host pids of PID 1 and of its children. */
  initPid(): number
  commandPid(): number
  readonly end: Promise<RunEnd>
}

const undo: (() => void)[] = []
let runCount = 0

/** Ends what the runs left. */
export function endRuns(): void {
  for (const step of undo.splice(0)) step()
}

/** Starts `init command…`; resolves when it stands at the gate, or at once where there is none. */
export async function startInit(
  programs: Programs,
  command: string[],
  options: RunOptions = {},
): Promise<InitRun> {
  const folder = join(programs.folder, `run-${++runCount}`)
  mkdirSync(folder)
  chmodSync(folder, 0o777)
  linkSync(programs.init, join(folder, 'init')) // its gate lies beside it
  undo.push(() => rmSync(folder, { recursive: true, force: true }))
  const server = options.gate === 'absent' ? undefined : await listen(join(folder, 'gate'))
  const connected = server && new Promise<Socket>((found) => server.once('connection', found))
  const child = spawnInit(programs, command, folder, options)
  const closed = new Promise<number | null>((found) => child.once('close', found))
  const stdout = collect(child.stdout)
  const stderr = collect(child.stderr)
  const socket = connected && (await Promise.race([connected, closed.then(() => undefined)]))
  const gate = collect(socket)

  return {
    folder,
    say: (bytes) => void socket?.write(bytes),
    give: (text, descriptors) => sendDescriptors(fdOf(socket!), text, descriptors),
    leave: () => void socket?.destroy(),
    type: (keys) => void child.stdin?.write(keys),
    heard: (line) => gate.until((text) => text.split('\n').includes(line)),
    printed: (text) => stdout.until((all) => all.includes(text)),
    printedAll: stdout.closed,
    initPid: () => childOf(child.pid ?? 0),
    commandPid: () => childOf(childOf(child.pid ?? 0)),
    end: Promise.all([closed, gate.closed]).then(([status]) => ({
      status,
      stdout: stdout.text(),
      stderr: stderr.text(),
      lines: gate.text().split('\n').slice(0, -1),
    })),
  }
}

function spawnInit(
  programs: Programs,
  command: string[],
  folder: string,
  options: RunOptions,
): ChildProcess {
  const around = options.terminal ? [...NAMESPACES, programs.pty] : PID_1
  const child = spawn('/usr/bin/unshare', [...around, join(folder, 'init'), ...command], {
    cwd: folder,
    env: options.env ?? { PATH: process.env['PATH'] },
    ...USER,
    stdio: ['pipe', 'pipe', 'pipe', ...(options.leakedFd === undefined ? [] : [options.leakedFd])],
  })
  child.stdin?.on('error', () => undefined) // the command may end before it has read all
  undo.push(() => child.kill('SIGKILL'))
  return child
}

async function listen(path: string): Promise<Server> {
  const server = createServer()
  await new Promise<void>((found) => server.listen(path, found))
  chmodSync(path, 0o666)
  undo.push(() => server.close())
  return server
}

interface Collected {
  text(): string
  until(holds: (text: string) => boolean): Promise<void>
  readonly closed: Promise<void>
}

function collect(stream: NodeJS.ReadableStream | null | undefined): Collected {
  let all = ''
  const waiting = new Set<() => void>()
  stream?.on('data', (bytes: Buffer) => {
    all += bytes.toString()
    for (const look of waiting) look()
  })
  stream?.on('error', () => undefined) // unread orders at the end of init reset the connection
  const closed = stream
    ? new Promise<void>((found) => stream.once('close', found))
    : Promise.resolve()
  const until = (holds: (text: string) => boolean) =>
    new Promise<void>((found) => {
      const look = () => {
        if (!holds(all)) return
        waiting.delete(look)
        found()
      }
      waiting.add(look)
      look()
    })
  return { text: () => all, until, closed }
}

function childOf(pid: number): number {
  const first = Number.parseInt(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8'), 10)
  if (!(first > 1)) throw new Error(`process ${pid} has no child`) // 0 would be our own group to kill(2)
  return first
}
