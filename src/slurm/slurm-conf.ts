// What slurm.conf and cgroup.conf say of cgroups, as far as root can read them on this node; for doctor. No Slurm program is
// called. Where they lie: as the slurmd that runs was told (-f, SLURM_CONF), else where Slurm's builds look.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { readProcess } from '../proc/process.js'

export interface SlurmConf {
  /** slurm.conf, as slurmd names it. */
  readonly path: string
  readonly processTracking: string
  readonly taskPlugins: readonly string[]
  readonly accountGathering: string
  /** "autodetect" where cgroup.conf says nothing. */
  readonly cgroupPlugin: string
  /** Which of Constrain…=yes: "Cores", "RAMSpace", "Devices", "SwapSpace". */
  readonly constrains: readonly string[]
}

// The build's own (Debian's, configless, the sources'); slurm.conf(5), "configless".
const USUAL = ['/etc/slurm/slurm.conf', '/run/slurm/conf/slurm.conf', '/usr/local/etc/slurm.conf']
const MOST_INCLUDES = 16

/** Undefined: none can be read. Of several slurmd on this host, the one that is this node. */
export function readSlurmConf(nodeName: string, procRoot = '/proc'): SlurmConf | undefined {
  const slurmd = findSlurmd(nodeName, procRoot)
  const root = slurmd === undefined ? '' : `${procRoot}/${slurmd.pid}/root`
  for (const path of [slurmd?.confPath ?? [], USUAL].flat()) {
    const values = readValues(`${root}${path}`, root)
    if (values.size === 0) continue
    const cgroup = readValues(`${root}${dirname(path)}/cgroup.conf`, root)
    return confOf(path, values, cgroup)
  }
  return undefined
}

type Values = ReadonlyMap<string, string>

/** Defaults as read_config.c and cgroup.c have them, 22.05 to 26.05. */
function confOf(path: string, slurm: Values, cgroup: Values): SlurmConf {
  const switches = ['Cores', 'RAMSpace', 'Devices', 'SwapSpace']
  const isOn = (name: string) =>
    /^(yes|up|true|1)$/i.test(cgroup.get(`constrain${name.toLowerCase()}`) ?? '')
  return {
    path,
    processTracking: slurm.get('proctracktype') ?? 'proctrack/cgroup',
    taskPlugins: (slurm.get('taskplugin') ?? '').split(','),
    accountGathering: slurm.get('jobacctgathertype') ?? 'none',
    cgroupPlugin: cgroup.get('cgroupplugin') ?? 'autodetect',
    constrains: switches.filter(isOn),
  }
}

/** "Key=Value" at the start of each line, keys in lower case, and what is included; empty where it cannot be read. */
function readValues(path: string, root: string): Values {
  const values = new Map<string, string>()
  const waiting = [path]
  for (let file = waiting.shift(), count = 0; file !== undefined; file = waiting.shift()) {
    const text = (count++ < MOST_INCLUDES ? readIfPossible(file) : undefined) ?? ''
    for (const line of text.replaceAll('\\\n', ' ').split('\n')) {
      const [, key, value] = /^\s*(\w+)\s*=\s*"?([^\s"#]*)/.exec(line) ?? []
      if (key !== undefined && value !== undefined) values.set(key.toLowerCase(), value)
      const included = /^\s*include\s+([^\s#]+)/i.exec(line)?.[1]
      if (included === undefined) continue
      waiting.push(included.startsWith('/') ? root + included : `${dirname(file)}/${included}`)
    }
  }
  return values
}

interface Slurmd {
  readonly pid: number
  readonly nodeName: string | undefined
  readonly confPath: string | undefined
}

function findSlurmd(nodeName: string, procRoot: string): Slurmd | undefined {
  const found = readdirSync(procRoot)
    .filter((name) => /^[0-9]+$/.test(name))
    .flatMap((name) => readSlurmd(Number(name), procRoot) ?? [])
  return found.find((slurmd) => slurmd.nodeName === nodeName) ?? found[0]
}

/** Root's alone: anybody may call a program of his slurmd. */
function readSlurmd(pid: number, procRoot: string): Slurmd | undefined {
  if (readIfPossible(`${procRoot}/${pid}/comm`) !== 'slurmd\n') return undefined
  if (readProcess(pid, procRoot)?.uid !== 0) return undefined
  const words = (readIfPossible(`${procRoot}/${pid}/cmdline`) ?? '').split('\0')
  const option = (letter: string) => {
    const at = words.findIndex((word) => word.startsWith(`-${letter}`))
    return at < 0 ? undefined : words[at]?.slice(2) || words[at + 1]
  }
  const environment = (readIfPossible(`${procRoot}/${pid}/environ`) ?? '').split('\0')
  const told = environment.find((entry) => entry.startsWith('SLURM_CONF='))
  return {
    pid,
    nodeName: option('N'),
    confPath: option('f') ?? told?.slice('SLURM_CONF='.length),
  }
}

function readIfPossible(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
