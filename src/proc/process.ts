// What /proc/PID says of one process. Reads only; whether the process is still the same one is the reader's question.
import { readFileSync, readlinkSync, statSync } from 'node:fs'
import { hasCode } from '../base/has-code.js'

export interface ProcessFacts {
  readonly pid: number
  /** proc_pid_status(5): R S D T t Z X I */
  readonly state: string
  /** Real, effective, saved and file system uid where all four are equal, else undefined. */
  readonly uid: number | undefined
  readonly gid: number | undefined
  readonly groups: readonly number[]
  /** Permission bits; undefined for a process without a file system context (a zombie). */
  readonly umask: number | undefined
  /** Clock ticks since boot; with the pid it names a process for as long as the node is up. */
  readonly startTimeTicks: number
}

/** The process now under this number; undefined: there is none. Throws on anything that cannot be understood. */
export function readProcess(pid: number, procRoot = '/proc'): ProcessFacts | undefined {
  const status = readIfPresent(`${procRoot}/${pid}/status`)
  const stat = readIfPresent(`${procRoot}/${pid}/stat`)
  if (status === undefined || stat === undefined) return undefined
  return { pid, ...parseStatus(status), startTimeTicks: parseStartTime(stat) }
}

/** A namespace's identity, like "mnt:[4026531841]"; undefined: no such process. */
export function readNamespace(
  pid: number | 'self',
  kind: 'mnt' | 'user',
  procRoot = '/proc',
): string | undefined {
  return ifPresent(() => readlinkSync(`${procRoot}/${pid}/ns/${kind}`))
}

/**
 * The owner of /proc/PID/fd: the process's uid, but root while the process is not dumpable, that is after the exec of a
 * setuid or unreadable program or a change of ids (proc_pid(5), PR_SET_DUMPABLE). Undefined: no such process.
 */
export function readFdOwner(pid: number, procRoot = '/proc'): number | undefined {
  return ifPresent(() => statSync(`${procRoot}/${pid}/fd`).uid)
}

/** Which file a process executes, by device and inode, whatever its name is in the process's own tree; undefined: gone. */
export function readExecutable(
  pid: number,
  procRoot = '/proc',
): { readonly dev: number; readonly ino: number } | undefined {
  return ifPresent(() => statSync(`${procRoot}/${pid}/exe`))
}

/** Reports whether it is PID 1 of a pid namespace below ours: its death is the namespace's (pid_namespaces(7)). */
export function isNamespaceInit(pid: number, procRoot = '/proc'): boolean {
  const row = readIfPresent(`${procRoot}/${pid}/status`)
    ?.split('\n')
    .find((line) => line.startsWith('NSpid:'))
  return row?.split(/\s+/).at(-1) === '1'
}

function parseStatus(text: string): Omit<ProcessFacts, 'pid' | 'startTimeTicks'> {
  // The user chooses Name. Of it the kernel escapes newlines and backslashes, nothing else: split at newlines only
  // (a regular expression's ^ and $ also stop at \r and U+2028, which would let a name pass for a Groups line).
  const rows = text.split('\n')
  const field = (key: string) =>
    rows
      .find((row) => row.startsWith(`${key}:`))
      ?.slice(key.length + 1)
      .trim()
  const umask = field('Umask')
  return {
    state: required(field('State')).charAt(0),
    uid: sameFour(required(field('Uid'))),
    gid: sameFour(required(field('Gid'))),
    groups: numbers(required(field('Groups'))),
    umask: umask === undefined ? undefined : parseInt(decimal(umask), 8),
  }
}

/** Field 22 of stat; the name in field 2 may hold blanks and parentheses, so count from its last one. */
function parseStartTime(stat: string): number {
  const afterName = stat.slice(stat.lastIndexOf(')') + 1)
  return Number(decimal(required(afterName.trim().split(' ')[19])))
}

function sameFour(text: string): number | undefined {
  const [real, ...others] = numbers(text)
  if (real === undefined || others.length !== 3) throw new Error(`four ids expected, not "${text}"`)
  return others.every((id) => id === real) ? real : undefined
}

const numbers = (text: string): number[] =>
  text === '' ? [] : text.split(/[ \t]+/).map((word) => Number(decimal(word)))

function decimal(text: string): string {
  if (!/^[0-9]+$/.test(text)) throw new Error(`not a number in /proc: "${text}"`)
  return text
}

function required(text: string | undefined): string {
  if (text === undefined) throw new Error('a field is missing in /proc')
  return text
}

const readIfPresent = (path: string): string | undefined =>
  ifPresent(() => readFileSync(path, 'utf8'))

/** ENOENT: no such process; ESRCH: it ended between open and read. */
function ifPresent<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ESRCH')) return undefined
    throw error
  }
}
