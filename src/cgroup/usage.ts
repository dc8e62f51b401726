// What a run has used, read from its own directories before they are removed. Absent is undefined, never 0.
import { dirname } from 'node:path'
import { keyOf, readControl, readCount, readKey } from './files.js'
import type { Placement } from './placement.js'

export interface Usage {
  readonly cpuUserUsec: number | undefined
  readonly cpuSystemUsec: number | undefined
  readonly memoryPeakBytes: number | undefined
  readonly ioReadBytes: number | undefined
  readonly ioWriteBytes: number | undefined
  readonly pidsPeak: number | undefined
  readonly oomKills: number | undefined
  /** v2: kills in a leaf that this run has shared with others; whose they were is not known. */
  readonly oomKillsOfSomebody?: number
}

export interface IoBytes {
  readonly readBytes: number
  readonly writeBytes: number
}

/** The counters now; a directory that is gone gives undefined. What v2 counts in the caller's leaf is for `counters`. */
export const readUsage = (placement: Placement): Usage =>
  placement.version === 1 ? usageV1(placement) : usageV2(placement)

function usageV1({ directories }: Placement): Usage {
  const own = (controller: string) =>
    directories.find((entry) => entry.own && entry.controller.split(',').includes(controller))?.path
  const of = <T>(controller: string, read: (path: string) => T | undefined): T | undefined => {
    const path = own(controller)
    return path === undefined ? undefined : read(path)
  }
  const cpu = of('cpuacct', cpuV1)
  const io = of('blkio', ioV1)
  return {
    cpuUserUsec: cpu?.userUsec,
    cpuSystemUsec: cpu?.systemUsec,
    memoryPeakBytes: of('memory', (path) => readCount(path, 'memory.max_usage_in_bytes')),
    ioReadBytes: io?.readBytes,
    ioWriteBytes: io?.writeBytes,
    pidsPeak: of('pids', (path) => readCount(path, 'pids.peak')), // Linux 6.1 and later
    oomKills: of('memory', (path) => readKey(path, 'memory.oom_control', 'oom_kill')), // Linux 4.13
  }
}

/**
 * cpuacct.usage is exact; how it divides into user and system is known by ticks only (usage_user and usage_sys since
 * Linux 4.7, in ns but just as coarse without VIRT_CPU_ACCOUNTING; before, cpuacct.stat).
 */
function cpuV1(path: string): { userUsec: number; systemUsec: number } | undefined {
  const totalNsec = readCount(path, 'cpuacct.usage')
  const stat = readControl(path, 'cpuacct.stat')
  const user = readCount(path, 'cpuacct.usage_user') ?? keyOf(stat, 'user')
  const system = readCount(path, 'cpuacct.usage_sys') ?? keyOf(stat, 'system')
  if (totalNsec === undefined || user === undefined || system === undefined) return undefined
  const totalUsec = Math.round(totalNsec / 1000)
  const userUsec = Math.round(
    user + system === 0 ? totalUsec : (totalUsec * user) / (user + system),
  )
  return { userUsec, systemUsec: totalUsec - userUsec }
}

/**
 * Lines like "254:0 Read 4096" for each device that was used, and "Total 4096". Without lines nothing was read or written,
 * or nothing is counted: since Linux 6.10 no queue has the throttle policy, and with it these counters, until somebody
 * sets a limit. The hierarchy's root has lines for all devices where it is counted.
 */
function ioV1(path: string): IoBytes | undefined {
  const text = ioTextV1(path)
  if (text === undefined || !(hasDevices(text) || isCountedAbove(path))) return undefined
  const sum = (verb: string) =>
    [...text.matchAll(new RegExp(`^[0-9]+:[0-9]+ ${verb} ([0-9]+)$`, 'gm'))].reduce(
      (bytes, match) => bytes + Number(match[1]),
      0,
    )
  return { readBytes: sum('Read'), writeBytes: sum('Write') }
}

const ioTextV1 = (path: string): string | undefined =>
  readControl(path, 'blkio.throttle.io_service_bytes_recursive') ??
  readControl(path, 'blkio.throttle.io_service_bytes')

const hasDevices = (text: string): boolean => /^[0-9]+:[0-9]+ Total [0-9]+$/m.test(text)

function isCountedAbove(path: string): boolean {
  for (let at = dirname(path); ; at = dirname(at)) {
    const text = readControl(at, 'blkio.throttle.io_service_bytes')
    if (text === undefined) return false
    if (hasDevices(text)) return true
  }
}

/** A threaded cgroup counts CPU time and processes; the rest belongs to the domain above it (cgroup-v2.rst, Threads). */
function usageV2({ directories }: Placement): Usage {
  const path = directories.find(({ own }) => own)?.path ?? ''
  return {
    cpuUserUsec: readKey(path, 'cpu.stat', 'user_usec'),
    cpuSystemUsec: readKey(path, 'cpu.stat', 'system_usec'),
    memoryPeakBytes: undefined,
    ioReadBytes: undefined,
    ioWriteBytes: undefined,
    pidsPeak: readCount(path, 'pids.peak'), // Linux 6.1
    oomKills: undefined,
  }
}

/** Lines like "254:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0"; no line: no device has been used. */
export function ioV2(text: string | undefined): IoBytes | undefined {
  if (text === undefined) return undefined
  const sum = (key: string) =>
    [...text.matchAll(new RegExp(`\\b${key}=([0-9]+)`, 'g'))].reduce(
      (bytes, match) => bytes + Number(match[1]),
      0,
    )
  return { readBytes: sum('rbytes'), writeBytes: sum('wbytes') }
}
