// The resource limits of one process, from /proc/PID/limits: no privilege is asked for, unlike by prlimit(2).
import { readFileSync } from 'node:fs'

// proc_pid_limits(5) to docker's names; the address space has none there.
const NAMES: Readonly<Record<string, string>> = {
  'Max cpu time': 'cpu',
  'Max file size': 'fsize',
  'Max data size': 'data',
  'Max stack size': 'stack',
  'Max core file size': 'core',
  'Max resident set': 'rss',
  'Max processes': 'nproc',
  'Max open files': 'nofile',
  'Max locked memory': 'memlock',
  'Max file locks': 'locks',
  'Max pending signals': 'sigpending',
  'Max msgqueue size': 'msgqueue',
  'Max nice priority': 'nice',
  'Max realtime priority': 'rtprio',
  'Max realtime timeout': 'rttime',
}

/** -1 for unlimited. */
export interface Rlimit {
  readonly soft: number
  readonly hard: number
}

/** By docker's names ("nofile"); undefined: no such process, or not to be read. */
export function readRlimits(
  pid: number,
  procRoot = '/proc',
): ReadonlyMap<string, Rlimit> | undefined {
  try {
    return parseRlimits(readFileSync(`${procRoot}/${pid}/limits`, 'utf8'))
  } catch {
    return undefined
  }
}

// A line is like "Max open files            1024                 1048576              files".
function parseRlimits(text: string): ReadonlyMap<string, Rlimit> {
  const limits = new Map<string, Rlimit>()
  for (const line of text.split('\n')) {
    const [, title = '', soft = '', hard = ''] = LINE.exec(line) ?? []
    const name = NAMES[title]
    if (name !== undefined) limits.set(name, { soft: numberOf(soft), hard: numberOf(hard) })
  }
  return limits
}

const LINE = /^(Max .*?) {2,}(unlimited|[0-9]+) +(unlimited|[0-9]+)\b/
const numberOf = (text: string): number => (text === 'unlimited' ? -1 : Number(text))
