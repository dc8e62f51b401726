// The doctor's proofs: a probe container in a probe job runs into each limit, is killed and is counted.
import { HepwrapError } from '../base/errors.js'
import { killPlacement, pidsOf } from '../cgroup/kill.js'
import type { Placement } from '../cgroup/placement.js'
import type { Usage } from '../cgroup/usage.js'
import type { Daemon } from './compose.js'
import type { Check } from './doctor-check.js'
import { PROBE_MEMORY_BYTES, type ProbeBench } from './probe.js'

export const LIMIT_CHECKS: readonly Check[] = [
  {
    name: 'placement',
    mend: "correct the engine's cgroup driver; hepwrapd must see the whole cgroup tree and be root there",
    examine: provePlacement,
  },
  {
    name: 'memory limit',
    mend: "enable the memory controller on this node and correct the engine's cgroup driver",
    examine: proveMemoryLimit,
  },
  {
    name: 'cpu limit',
    mend: "enable the cpu controller on this node and correct the engine's cgroup driver",
    examine: proveCpuLimit,
  },
  {
    name: 'pids limit',
    mend: 'enable the pids controller on this node (systemd: TasksAccounting)',
    examine: provePidsLimit,
  },
  {
    name: 'kill',
    mend: "see the daemon's log and the engine's; a process in uninterruptible sleep (NFS?) ends with its cause",
    examine: proveKill,
  },
  {
    name: 'cpu accounting',
    mend: 'enable the cpu (v1: cpuacct) controller on this node',
    examine: proveCpuAccounting,
  },
]

const failed = (text: string) => new HepwrapError('HW_CGROUP_FAILED', text)

async function provePlacement(_daemon: Daemon, bench: ProbeBench): Promise<string> {
  const { placement, isPlaced } = await bench.probe({ command: ['probe-cpu', '1'] })
  const own = placement.directories.filter((directory) => directory.own)
  if (!isPlaced) throw failed(`a container did not enter ${own.map(({ path }) => path).join(' ')}`)
  if (placement.version === 2)
    return "through the gate into a threaded child of the task's cgroup, before its first instruction"
  const controllers = own.map(({ controller }) => controller).join(' ')
  return `through the gate into directories of its own in ${controllers}, before its first instruction`
}

async function proveMemoryLimit(_daemon: Daemon, bench: ProbeBench): Promise<string> {
  const asked = 4 * PROBE_MEMORY_BYTES
  const command = ['probe-memory', String(asked)]
  const { placement, usage, oomKills } = await bench.probe({ command })
  if ((oomKills ?? 0) === 0)
    throw failed(`a container with ${PROBE_MEMORY_BYTES} bytes was given ${asked}`)
  const holder = placement.version === 2 ? 'in a job of' : 'with'
  const peak = usage?.memoryPeakBytes === undefined ? '' : `; peak ${usage.memoryPeakBytes} bytes`
  return `a container ${holder} 64 MiB that took 256 MiB was ended by the kernel${peak}`
}

async function proveCpuLimit(_daemon: Daemon, bench: ProbeBench): Promise<string> {
  const wallMs = 1000
  const cpus = 0.5
  const command = ['probe-cpu', String(wallMs)]
  const { usage } = await bench.probe({ command, limits: { cpus } })
  const usedMs = cpuUsec(usage) / 1000
  const most = wallMs * cpus * 1.7
  if (usedMs <= 0 || usedMs > most)
    throw failed(`a container with ${cpus} cpus used ${usedMs} ms of cpu time in ${wallMs} ms`)
  return `a container with ${cpus} cpus used ${Math.round(usedMs)} ms of cpu time in ${wallMs} ms`
}

async function provePidsLimit(_daemon: Daemon, bench: ProbeBench): Promise<string> {
  const pidsMax = 16
  const asked = 4 * pidsMax
  const command = ['probe-pids', String(asked)]
  const { report, usage } = await bench.probe({ command, limits: { pidsMax } })
  if (report.kind !== 'exited' || report.status !== 1)
    throw failed(`a container with ${pidsMax} processes was given ${asked}`)
  const peak = usage?.pidsPeak === undefined ? '' : `; peak ${usage.pidsPeak}`
  return `a container with ${pidsMax} processes was refused the next${peak}`
}

const FORKING_LINES = 8
/** The dead count until they are reaped; on a loaded node they would fill its table of processes. */
const MOST_FORKS = 128
const FORKING_WAIT_MS = 10_000

async function proveKill(daemon: Daemon, bench: ProbeBench): Promise<string> {
  let tookMs = 0
  const { report } = await bench.probe({
    command: ['probe-forks', String(FORKING_LINES)],
    limits: { pidsMax: MOST_FORKS, isPidsMaxUsual: true },
    meanwhile: async (placement) => {
      await waitForForks(placement, daemon)
      const startMs = daemon.clock.monotonicMs()
      await killPlacement(placement)
      tookMs = Math.round(daemon.clock.monotonicMs() - startMs)
      const left = pidsOf(placement).length
      if (left > 0) throw failed(`${left} processes of a killed container are still there`)
    },
  })
  // init may live long enough to tell of its command's end
  const isKilled = report.kind === 'killed' || (report.kind === 'signaled' && report.signal === 9)
  if (!isKilled) throw failed(`a killed container ended as ${JSON.stringify(report)}`)
  return `${FORKING_LINES} processes that fork all the time and ignore SIGTERM were gone after ${tookMs} ms`
}

/** init, the command, and some of its lines. */
async function waitForForks(placement: Placement, { clock }: Daemon): Promise<void> {
  const deadlineMs = clock.monotonicMs() + FORKING_WAIT_MS
  while (pidsOf(placement).length < 4) {
    if (clock.monotonicMs() > deadlineMs) throw failed('a container that forks was not seen to')
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

async function proveCpuAccounting(_daemon: Daemon, bench: ProbeBench): Promise<string> {
  const { placement, usage, taskCpuUsec } = await bench.probe({ command: ['probe-cpu', '200'] })
  const used = cpuUsec(usage)
  const whose = placement.version === 2 ? "the task's cgroup" : 'the cgroup above'
  if (used === 0 || taskCpuUsec === undefined) throw failed('cpu time is not counted')
  // clocks of several processors and rounding to ticks
  if (taskCpuUsec < used * 0.95)
    throw failed(`${whose} counted ${taskCpuUsec} of ${used} us of a container's cpu time`)
  return `${whose} counted the container's ${Math.round(used / 1000)} ms of cpu time, as Slurm reads it`
}

const cpuUsec = (usage: Usage | undefined): number =>
  (usage?.cpuUserUsec ?? 0) + (usage?.cpuSystemUsec ?? 0)
