// Socket to Caller: the only decision about who calls. Whatever is unclear is a refusal.
import { HepwrapError } from '../base/errors.js'
import { hasCode } from '../base/has-code.js'
import { peerCredentials, type PeerCredentials } from '../kernel/peercred.js'
import { closeFd, isAlive, openPidfd, peerPidfd } from '../kernel/pidfd.js'
import { readNamespace, readProcess, type ProcessFacts } from '../proc/process.js'

/** Who calls, by the kernel's word alone. Never copy it: releaseCaller knows the object. */
export interface Caller {
  readonly uid: number
  readonly gid: number
  /** Supplementary groups; may or may not repeat gid. */
  readonly groups: readonly number[]
  readonly pid: number
  /** Holds the process; undefined on kernels without pidfd_open(2), where startTimeTicks pins it. */
  readonly pidfd: number | undefined
  readonly startTimeTicks: number
  readonly umask: number
}

/** What identity asks of the kernel; tests own it. */
export interface IdentitySeams {
  readonly peerCredentials: (fd: number) => PeerCredentials
  readonly peerPidfd: (fd: number) => number | undefined
  readonly openPidfd: (pid: number) => number
  readonly isAlive: (pidfd: number) => boolean
  readonly closeFd: (fd: number) => void
  readonly procRoot: string
}

const KERNEL: IdentitySeams = {
  peerCredentials,
  peerPidfd,
  openPidfd,
  isAlive,
  closeFd,
  procRoot: '/proc',
}

const released = new WeakSet<Caller>()

/**
 * The process that connected this unix socket, pinned against reuse of its pid. Throws HW_CALLER_UNKNOWN or
 * HW_CALLER_NAMESPACE. The result holds a descriptor: releaseCaller it.
 */
export function identifyCaller(socketFd: number, seams: Partial<IdentitySeams> = {}): Caller {
  const kernel = { ...KERNEL, ...seams }
  let pidfd: number | undefined
  try {
    const peer = kernel.peerCredentials(socketFd)
    if (peer.pid <= 0) throw unknown('the caller is not visible in the pid namespace of hepwrapd')
    pidfd = kernel.peerPidfd(socketFd) ?? pidfdByNumber(peer.pid, kernel)
    return { ...readCaller(peer, pidfd, kernel), pidfd }
  } catch (error) {
    if (pidfd !== undefined) kernel.closeFd(pidfd)
    if (error instanceof HepwrapError) throw error
    throw new HepwrapError('HW_CALLER_UNKNOWN', 'the kernel did not tell who calls', {
      cause: error,
    })
  }
}

/** The uid alone, for what is decided before a connection is worth more. Throws HW_CALLER_UNKNOWN. */
export function connectedAs(socketFd: number): number {
  try {
    return peerCredentials(socketFd).uid
  } catch (cause) {
    throw new HepwrapError('HW_CALLER_UNKNOWN', 'the kernel did not tell who calls', { cause })
  }
}

/** Reports whether the caller's process still runs; a doubt is a no. */
export function isCallerAlive(caller: Caller, seams: Partial<IdentitySeams> = {}): boolean {
  const kernel = { ...KERNEL, ...seams }
  try {
    if (caller.pidfd !== undefined && !released.has(caller)) return kernel.isAlive(caller.pidfd)
    const now = readProcess(caller.pid, kernel.procRoot)
    return now !== undefined && isRunning(now) && now.startTimeTicks === caller.startTimeTicks
  } catch {
    return false
  }
}

/** Closes the caller's descriptor, once: its number may by then name something else. */
export function releaseCaller(caller: Caller, seams: Partial<IdentitySeams> = {}): void {
  if (caller.pidfd === undefined || released.has(caller)) return
  released.add(caller)
  const close = seams.closeFd ?? closeFd
  close(caller.pidfd)
}

/** Everything is read first, then the pin is tested: had the number changed hands meanwhile, the pin would be gone. */
function readCaller(
  peer: PeerCredentials,
  pidfd: number | undefined,
  kernel: IdentitySeams,
): Omit<Caller, 'pidfd'> {
  const facts = readProcess(peer.pid, kernel.procRoot)
  const foreign = foreignNamespace(peer.pid, kernel.procRoot)
  const again = readProcess(peer.pid, kernel.procRoot)
  if (facts === undefined || again?.startTimeTicks !== facts.startTimeTicks || !isRunning(again)) {
    throw unknown(`process ${peer.pid} is gone`)
  }
  if (pidfd !== undefined && !kernel.isAlive(pidfd)) throw unknown(`process ${peer.pid} is gone`)
  if (facts.uid !== peer.uid || facts.gid !== peer.gid) {
    throw unknown(
      `process ${peer.pid} connected as ${peer.uid}:${peer.gid} and is another user now`,
    )
  }
  if (facts.umask === undefined) throw unknown(`process ${peer.pid} has no umask`)
  if (foreign !== undefined) {
    throw new HepwrapError(
      'HW_CALLER_NAMESPACE',
      `process ${peer.pid} lives in another ${foreign} namespace than hepwrapd`,
    )
  }
  const { uid, gid } = peer
  const { groups, umask, startTimeTicks } = facts
  return { uid, gid, groups, pid: peer.pid, startTimeTicks, umask }
}

function foreignNamespace(pid: number, procRoot: string): string | undefined {
  for (const [kind, words] of [
    ['mnt', 'mount'],
    ['user', 'user'],
  ] as const) {
    const own = readNamespace('self', kind, procRoot)
    if (own === undefined || readNamespace(pid, kind, procRoot) !== own) return words
  }
  return undefined
}

/** The next best pin: whoever has the number now. Undefined before Linux 5.3. */
function pidfdByNumber(pid: number, kernel: IdentitySeams): number | undefined {
  try {
    return kernel.openPidfd(pid)
  } catch (error) {
    if (hasCode(error, 'ENOSYS')) return undefined
    throw error
  }
}

/** A zombie holds no files and no mounts: nothing can be done in its name. */
const isRunning = ({ state }: ProcessFacts): boolean => !['Z', 'X', 'x'].includes(state)

const unknown = (message: string) => new HepwrapError('HW_CALLER_UNKNOWN', message)
