// `hepwrap doctor`: proves that this node is fit, each check with what to do where it fails. Proof, not configuration:
// a probe container is started through the same gate and cgroup as any run, and must run into its limits.
import { statfsSync } from 'node:fs'
import { asHepwrapError, HepwrapError, type ReasonCode } from '../base/errors.js'
import type { DoctorCheck } from '../wire/job-api.js'
import type { Daemon } from './compose.js'
import { ACCOUNTING_CHECKS } from './accounting-checks.js'
import { probeLimit, removeProbeImage, type Probe } from './probe.js'

export interface Check {
  readonly name: string
  readonly mend: string | ((code: ReasonCode) => string)
  /** Returns what was found; throws what is wrong. */
  readonly examine: (daemon: Daemon) => Promise<string>
}

const MIN_FREE_BYTES = 64 * 1024 * 1024

const ENGINE_MEND = 'start the container engine, or correct [engine] socket'

const CHECKS: readonly Check[] = [
  {
    name: 'engine',
    mend: ENGINE_MEND,
    examine: async ({ engine }) => {
      const { name, version, apiVersion } = await engine.facts()
      return `${name} ${version}, API ${apiVersion}`
    },
  },
  {
    name: 'cgroup driver',
    mend: 'set the engine\'s "native.cgroupdriver" to cgroupfs, or run systemd on this node',
    examine: examineDriver,
  },
  {
    name: 'ledger',
    mend: 'free or mount the file system of [node] state_dir',
    examine: async ({ ledger, config }) => {
      ledger.probe()
      const { bavail, bsize } = statfsSync(config.node.state_dir)
      const free = bavail * bsize
      if (free < MIN_FREE_BYTES)
        throw new HepwrapError('HW_LEDGER_UNAVAILABLE', `only ${free} bytes are free`)
      return `written; ${Math.floor(free / 1024 ** 2)} MiB free`
    },
  },
  {
    name: 'memory limit',
    mend: "enable the memory controller on this node and correct the engine's cgroup driver",
    examine: (daemon) => proveMemoryLimit(daemon),
  },
  {
    name: 'cpu limit',
    mend: "enable the cpu controller on this node and correct the engine's cgroup driver",
    examine: (daemon) => proveCpuLimit(daemon),
  },
  ...ACCOUNTING_CHECKS,
]

const examining = new WeakMap<Daemon, Promise<readonly DoctorCheck[]>>()

/** Who asks while it is being done gets the same answer: probes side by side would take each other's time and image. */
export function examine(daemon: Daemon): Promise<readonly DoctorCheck[]> {
  const known = examining.get(daemon)
  if (known !== undefined) return known
  const made = makeChecks(daemon).finally(() => examining.delete(daemon))
  examining.set(daemon, made)
  return made
}

/** Every check, in order; one that fails does not keep the next from being made. */
async function makeChecks(daemon: Daemon): Promise<readonly DoctorCheck[]> {
  const results: DoctorCheck[] = []
  for (const { name, mend, examine: check } of CHECKS) {
    try {
      results.push({ name, ok: true, detail: await check(daemon), mend: null })
    } catch (thrown) {
      const { message, code } = asHepwrapError(thrown)
      const own = typeof mend === 'string' ? mend : mend(code)
      const first = code === 'HW_ENGINE_DOWN' ? ENGINE_MEND : own
      results.push({ name, ok: false, detail: `${message} (${code})`, mend: first })
    }
  }
  await removeProbeImage(daemon)
  return results
}

async function examineDriver({ engine, cgroupRoots }: Daemon): Promise<string> {
  const { cgroupDriver, cgroupVersion } = await engine.facts()
  const nodeVersion = cgroupRoots.v1.has('memory') ? 1 : 2
  if (cgroupVersion !== nodeVersion)
    throw new HepwrapError(
      'HW_CGROUP_FAILED',
      `the engine uses cgroup v${cgroupVersion}, this node has v${nodeVersion}`,
    )
  if (cgroupDriver !== 'cgroupfs' && cgroupDriver !== 'systemd')
    throw new HepwrapError(
      'HW_CGROUP_FAILED',
      `the engine has no cgroup driver (${cgroupDriver}): is it rootless?`,
    )
  if (cgroupDriver === 'systemd' && !hasSystemd())
    throw new HepwrapError(
      'HW_CGROUP_FAILED',
      "the engine's cgroup driver is systemd, and systemd does not run here",
    )
  return `${cgroupDriver}, cgroup v${cgroupVersion}`
}

/** sd_booted(3) */
function hasSystemd(): boolean {
  try {
    statfsSync('/run/systemd/system')
    return true
  } catch {
    return false
  }
}

const MEMORY_LIMIT = 64 * 1024 * 1024

async function proveMemoryLimit(daemon: Daemon): Promise<string> {
  const asked = 4 * MEMORY_LIMIT
  const { usage } = await probeLimit(daemon, { memoryBytes: MEMORY_LIMIT }, [
    'probe-memory',
    String(asked),
  ])
  if ((usage?.oomKills ?? 0) === 0)
    throw new HepwrapError(
      'HW_CGROUP_FAILED',
      `a container with ${MEMORY_LIMIT} bytes was given ${asked}`,
    )
  return `a container with 64 MiB that took 256 MiB was ended by the kernel; peak ${usage?.memoryPeakBytes ?? 0} bytes`
}

async function proveCpuLimit(daemon: Daemon): Promise<string> {
  const wallMs = 1000
  const cpus = 0.5
  const { usage }: Probe = await probeLimit(daemon, { cpus }, ['probe-cpu', String(wallMs)])
  const usedMs = ((usage?.cpuUserUsec ?? 0) + (usage?.cpuSystemUsec ?? 0)) / 1000
  const most = wallMs * cpus * 1.5
  if (usedMs <= 0 || usedMs > most)
    throw new HepwrapError(
      'HW_CGROUP_FAILED',
      `a container with ${cpus} cpus used ${usedMs} ms of cpu time in ${wallMs} ms`,
    )
  return `a container with ${cpus} cpus used ${Math.round(usedMs)} ms of cpu time in ${wallMs} ms`
}
