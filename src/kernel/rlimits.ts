// Resource limits of another process, prlimit(2): what Slurm and the site gave a task, its container gets, and no more.
import koffi from 'koffi'
import { hasCode, lastError, libc } from './libc.js'

const RLimit = koffi.struct({ current: 'uint64', maximum: 'uint64' })
const prlimit = libc.func('prlimit', 'int', [
  'int',
  'int',
  koffi.pointer(RLimit),
  koffi.out(koffi.pointer(RLimit)),
])

interface Limit {
  current: number | bigint
  maximum: number | bigint
}

/** Docker's names in the order of their numbers in asm-generic/resource.h; the address space has none there. */
const RESOURCES = [
  ...['cpu', 'fsize', 'data', 'stack', 'core', 'rss', 'nproc', 'nofile', 'memlock', 'as'],
  ...['locks', 'sigpending', 'msgqueue', 'nice', 'rtprio', 'rttime'],
]

/**
 * Gives the process `to` every limit that `from` has now, but those in `except`; false: one of them is gone. Where we
 * may not raise (no CAP_SYS_RESOURCE) the lower of both hard limits stays.
 */
export function copyLimits(from: number, to: number, except: ReadonlySet<string>): boolean {
  return RESOURCES.every((name, resource) => except.has(name) || copyLimit(from, to, resource))
}

function copyLimit(from: number, to: number, resource: number): boolean {
  const wanted = readLimit(from, resource)
  if (wanted === undefined) return false
  if (writeLimit(to, resource, wanted)) return true
  const present = readLimit(to, resource)
  return present !== undefined && writeLimit(to, resource, lowerOf(wanted, present))
}

function readLimit(pid: number, resource: number): Limit | undefined {
  const limit: Limit = { current: 0, maximum: 0 }
  if (Number(prlimit(pid, resource, null, limit)) === 0) return limit
  const error = lastError('prlimit', `of ${pid}`)
  if (hasCode(error, 'ESRCH')) return undefined
  throw error
}

function writeLimit(pid: number, resource: number, limit: Limit): boolean {
  if (Number(prlimit(pid, resource, limit, null)) === 0) return true
  const error = lastError('prlimit', `of ${pid}`)
  if (hasCode(error, 'ESRCH', 'EPERM')) return false
  throw error
}

function lowerOf(wanted: Limit, present: Limit): Limit {
  const maximum = wanted.maximum < present.maximum ? wanted.maximum : present.maximum
  return { maximum, current: wanted.current < maximum ? wanted.current : maximum }
}
