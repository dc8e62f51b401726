// The gate: a unix socket of the run's own, mounted into the container, on which our init waits for `go`.
// The kernel says who connected (SO_PEERCRED), so the daemon learns the host pid of PID 1 without asking the engine.
// The protocol is in native/init.c. What init says is as good as what the user says: it ends his own run only.
import { chmodSync, chownSync, openSync, statSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { asHepwrapError, HepwrapError } from '../base/errors.js'
import { peerCredentials, type PeerCredentials } from '../kernel/peercred.js'
import { closeFd, isAlive, openPidfd, peerPidfd, sendSignal } from '../kernel/pidfd.js'
import { sendDescriptors } from '../kernel/send-descriptors.js'
import { readExecutable, readProcess } from '../proc/process.js'

const SIGKILL = 9
const MAX_LINE_BYTES = 256
/** An init in a frozen step is where it shall be, and cannot say so. */
const ENTER_WAIT_MS = 100
/** Signals that an init that does not listen (its user may stop it) is kept waiting with; more are lost, as in the kernel. */
const MAX_BACKLOG_BYTES = 4096

/** How the command ended, in init's words. */
export type InitReport =
  | { readonly kind: 'exited'; readonly status: number }
  | { readonly kind: 'signaled'; readonly signal: number }
  /** The command could not be executed, or its directory not entered. */
  | { readonly kind: 'failed'; readonly step: 'exec' | 'chdir'; readonly errno: number }
  /** Init died without a word: SIGKILL from outside. */
  | { readonly kind: 'killed' }

export interface Init {
  readonly pid: number
  /** Its mount namespace, as a descriptor that the caller closes. Throws HW_ENGINE_FAILED: it is gone. */
  mountNamespace(): number
  /** Has init write itself into these open tasks files. Settles when it has tried, or says nothing: ask the kernel where it is. */
  enter(entrances: readonly number[]): Promise<void>
  go(umask: number, workdir: string): void
  signal(signal: number): void
  /** SIGKILL of PID 1 ends the whole pid namespace (pid_namespaces(7)). */
  kill(): void
  /** Resolves when the connection ends: init is dead or dying. */
  readonly ended: Promise<InitReport>
}

export interface Gate {
  /** Resolves with the first and only peer. */
  readonly connected: Promise<Init>
  close(): void
}

export interface GateOptions {
  /** Whose container it is: only this uid may pass. */
  readonly uid: number
  readonly gid: number
  readonly groups: readonly number[]
  /** The init on this node: only a process that executes this very file may pass. */
  readonly initPath: string
}

/** Listens at `path`, in a directory that only root can enter. */
export async function openGate(path: string, options: GateOptions): Promise<Gate> {
  const { uid, gid } = options
  const server = createServer({ pauseOnConnect: true })
  let socket: Socket | undefined
  const connected = new Promise<Init>((resolve, reject) => {
    server.once('error', reject)
    server.once('connection', (peer: Socket) => {
      socket = peer
      server.close()
      try {
        resolve(createInit(peer, options))
      } catch (thrown) {
        peer.destroy()
        reject(asHepwrapError(thrown))
      }
    })
  })
  connected.catch(() => undefined) // awaited only once the container has been started
  await listen(server, path)
  chownSync(path, uid, gid)
  chmodSync(path, 0o600)
  return {
    connected,
    close: () => {
      server.close()
      socket?.destroy()
    },
  }
}

const listen = (server: Server, path: string) =>
  new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, () => {
      server.off('error', reject)
      resolve()
    })
  })

function createInit(socket: Socket, options: GateOptions): Init {
  const fd = fdOf(socket)
  const peer = peerCredentials(fd)
  const pidfd = peerPidfd(fd) ?? openPidfd(peer.pid)
  try {
    requireInit(peer, pidfd, options)
  } catch (thrown) {
    closeFd(pidfd)
    throw thrown
  }
  let onEntered: () => void = () => undefined
  const ended = readReport(socket, () => onEntered()).finally(() => closeFd(pidfd))
  let isOpen = true
  void ended.then(() => (isOpen = false))
  const send = (line: string) => {
    if (isOpen && !socket.destroyed && socket.writableLength < MAX_BACKLOG_BYTES) socket.write(line)
  }
  return {
    pid: peer.pid,
    mountNamespace: () => mountNamespaceOf(peer.pid, () => isOpen && isAlive(pidfd)),
    enter: async (entrances) => {
      sendDescriptors(fdOf(socket), 'enter\n', entrances) // never to whoever has the number by now
      const answered = new Promise<void>((resolve) => (onEntered = resolve))
      const timer = setTimeout(() => onEntered(), ENTER_WAIT_MS)
      await Promise.race([answered, ended])
      clearTimeout(timer)
    },
    go: (umask, workdir) =>
      send(`go ${umask.toString(8).padStart(3, '0')} ${escapeWord(workdir)}\n`),
    signal: (signal) => send(`signal ${signal}\n`),
    kill: () => {
      if (isOpen) sendSignal(pidfd, SIGKILL)
    },
    ended,
  }
}

/** Of this very process: it has its number still when the namespace is open. */
function mountNamespaceOf(pid: number, isStillIt: () => boolean): number {
  let fd: number
  try {
    fd = openSync(`/proc/${pid}/ns/mnt`, 'r')
  } catch (cause) {
    throw new HepwrapError('HW_ENGINE_FAILED', `init, process ${pid}, is gone`, { cause })
  }
  if (isStillIt()) return fd
  closeFd(fd)
  throw new HepwrapError('HW_ENGINE_FAILED', `init, process ${pid}, is gone`)
}

/** Whoever else stands at the gate has got into the container before the gate: no part of it may run. */
function requireInit(
  { pid, uid }: PeerCredentials,
  pidfd: number,
  { uid: expected, gid, groups, initPath }: GateOptions,
): void {
  const refuse = (what: string) => {
    throw new HepwrapError(
      'HW_ENGINE_FAILED',
      `the container did not begin with hepwrap's init: ${what}`,
    )
  }
  if (uid !== expected) refuse(`uid ${uid} at the gate of uid ${expected}`)
  const { dev, ino } = statSync(initPath)
  const executable = readExecutable(pid)
  if (executable?.dev !== dev || executable.ino !== ino)
    refuse(`process ${pid} executes another file`)
  // The engine looks its groups up in the image: one that is named "3000" there has any number that the image likes.
  const asked = sortedIds([gid, ...groups])
  const given = readProcess(pid)
  if (given?.gid !== gid || sortedIds([gid, ...given.groups]) !== asked)
    refuse(
      `it has the groups ${sortedIds(given?.groups ?? [])} where ${asked} were asked for: the image's /etc/group has names that are numbers`,
    )
  if (!isAlive(pidfd)) refuse(`process ${pid} is gone`)
}

const sortedIds = (ids: readonly number[]): string =>
  [...new Set(ids)].sort((one, other) => one - other).join(',')

/** Node has no public way to a socket's descriptor; `_handle.fd` is what there is on Node 20 and 22. */
export function fdOf(socket: Socket): number {
  const { _handle: handle } = socket as unknown as { _handle?: { fd?: unknown } | null }
  if (typeof handle?.fd !== 'number' || handle.fd < 0)
    throw new HepwrapError('HW_CALLER_UNKNOWN', 'the connection is gone')
  return handle.fd
}

/** %XX for what would end a word or a line; init undoes it byte by byte. */
export const escapeWord = (text: string): string =>
  [...Buffer.from(text)]
    .map((byte) =>
      byte <= 0x20 || byte >= 0x7f || byte === 0x25
        ? `%${byte.toString(16).padStart(2, '0').toUpperCase()}`
        : String.fromCharCode(byte),
    )
    .join('')

function readReport(socket: Socket, onEntered: () => void): Promise<InitReport> {
  return new Promise((resolve) => {
    let report: InitReport = { kind: 'killed' }
    let text = ''
    socket.setEncoding('latin1')
    socket.on('data', (chunk: string) => {
      text += chunk
      const lines = text.split('\n')
      text = (lines.pop() ?? '').slice(0, MAX_LINE_BYTES)
      for (const line of lines) {
        if (line === 'entered') onEntered()
        else report = parseReport(line) ?? report
      }
    })
    socket.on('error', () => undefined) // 'close' follows
    socket.on('close', () => resolve(report))
    socket.resume()
  })
}

/** One line of init's; undefined for `ready` and for what is none of ours. */
export function parseReport(line: string): InitReport | undefined {
  const match = /^(exit|signaled|exec|chdir) ([0-9]{1,3})$/.exec(line)
  if (match === null) return undefined
  const value = Number(match[2])
  if (match[1] === 'exit') return value <= 255 ? { kind: 'exited', status: value } : undefined
  if (match[1] === 'signaled')
    return value >= 1 && value <= 64 ? { kind: 'signaled', signal: value } : undefined
  return { kind: 'failed', step: match[1] === 'exec' ? 'exec' : 'chdir', errno: value }
}
