// The resource limits of one process, from /proc/PID/limits.
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

/** Hard limits by docker's names ("nofile"), -1 for unlimited; undefined: no such process, or not to be read. */
export function readHardLimits(
  pid: number,
  procRoot = '/proc',
): ReadonlyMap<string, number> | undefined {
  try {
    return parseHardLimits(readFileSync(`${procRoot}/${pid}/limits`, 'utf8'))
  } catch {
    return undefined
  }
}

// A line is like "Max open files            1024                 1048576              files".
function parseHardLimits(text: string): ReadonlyMap<string, number> {
  const limits = new Map<string, number>()
  for (const line of text.split('\n')) {
    const [, title = '', hard] = /^(Max .*?) {2,}\S+ +(unlimited|[0-9]+)\b/.exec(line) ?? []
    const name = NAMES[title]
    if (name !== undefined) limits.set(name, hard === 'unlimited' ? -1 : Number(hard))
  }
  return limits
}
