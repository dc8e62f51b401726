// The doctor's probe: our init in an empty image, as nobody, through the gate, in a task of a job that doctor has made.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { HepwrapError } from '../base/errors.js'
import { newRunId, type RunId } from '../base/ids.js'
import { within } from '../base/within.js'
import { isInside } from '../cgroup/entrances.js'
import { makeProbeJob, type ProbeJob } from '../cgroup/probe-job.js'
import {
  enterPlacement,
  makePlacement,
  planPlacement,
  type Placement,
  type PlacementLimits,
} from '../cgroup/placement.js'
import type { Usage } from '../cgroup/usage.js'
import type { ContainerSpec } from '../engine/engine.js'
import { NODE_LABEL, RUN_LABEL } from '../engine/docker-engine.js'
import { parseImageRef } from '../plan/image-ref.js'
import { readCgroups } from '../proc/cgroup-of.js'
import { bind, newGatePlace } from '../run/container-spec.js'
import { openGate, type Init, type InitReport } from '../run/gate.js'
import { nodeLabel } from '../run/launch.js'
import { closePlacement, containerName, runDirectory, undoDeps, undoRun } from '../run/undo.js'
import type { Daemon } from './compose.js'

const NOBODY = 65534
const PROBE_IMAGE = parseImageRef('hepwrap/probe:1')
/** The end-of-archive marker of tar: an image with nothing in it. */
const EMPTY_TAR = Buffer.alloc(1024)
const PROBE_WAIT_MS = 30_000

export interface Probe {
  readonly report: InitReport
  readonly placement: Placement
  /** The kernel says that the container's init sits in the run's own directories. */
  readonly isPlaced: boolean
  readonly usage: Usage | undefined
  /** What the task's cgroup has counted while the probe ran, its own waiting process included. */
  readonly taskCpuUsec: number | undefined
  readonly oomKills: number | undefined
}

export interface ProbeAsk {
  /** One of init's own probe commands. */
  readonly command: readonly string[]
  readonly limits?: PlacementLimits
  /** What is done while it runs. */
  readonly meanwhile?: (placement: Placement) => Promise<void>
}

/** What the probe's job has. */
export const PROBE_MEMORY_BYTES = 64 * 1024 * 1024

/** Where all probes of one examination take place, one after the other: a task of a job. */
export interface ProbeBench {
  /** Leaves nothing but the image, for the next probe. */
  probe(ask: ProbeAsk): Promise<Probe>
  /** Removes the task, the job and the image. */
  close(): Promise<void>
}

/** The job is made with the first probe. */
export function openBench(daemon: Daemon): ProbeBench {
  let task: Promise<ProbeTask> | undefined
  return {
    probe: async (ask) => {
      task ??= beginTask(daemon)
      const { job, pid } = await task
      return probeIn(job, pid, daemon, ask)
    },
    close: async () => {
      const begun = await task?.catch(() => undefined) // each probe has told
      await begun?.end()
      await removeProbeImage(daemon)
    },
  }
}

interface ProbeTask {
  readonly job: ProbeJob
  readonly pid: number
  end(): Promise<void>
}

/** On v2 the init of a container that is never let through its gate is the task. */
async function beginTask(daemon: Daemon): Promise<ProbeTask> {
  const job = await makeProbeJob(daemon.cgroupRoots, PROBE_MEMORY_BYTES)
  const runId = newRunId()
  const hold = daemon.live.hold(runId)
  const end = async () => {
    if (job.isEmpty) await undoRun(runId, undefined, undoDeps(daemon))
    hold.release()
    if (!(await job.remove())) daemon.log.warn('cgroup directories of a probe remain')
  }
  try {
    if (!job.isEmpty) return { job, pid: process.pid, end }
    const { pid } = await startProbe(runId, ['probe-cpu', '1'], daemon)
    job.enter(pid)
    return { job, pid, end }
  } catch (thrown) {
    await end()
    throw thrown
  }
}

async function probeIn(job: ProbeJob, task: number, daemon: Daemon, ask: ProbeAsk): Promise<Probe> {
  const runId = newRunId()
  const { cgroupRoots } = daemon
  const placement = planPlacement(job.membership(task), runId, cgroupRoots)
  const hold = daemon.live.hold(runId) // or the sweep would take it for an orphan
  try {
    makePlacement(placement, { ...job.limits, ...ask.limits })
    const init = await startProbe(runId, ask.command, daemon)
    daemon.counters.begin(placement)
    enterPlacement(placement, init.pid)
    const isPlaced = isInside(placement, readCgroups(init.pid), cgroupRoots)
    const before = { cpuUsec: job.cpuUsec(), oomKills: job.oomKills() }
    init.go(0o022, '/')
    await ask.meanwhile?.(placement)
    const report = await within(PROBE_WAIT_MS, init.ended, late('the probe did not end'))
    const usage = await closePlacement(placement, daemon)
    const oomKills = difference(job.oomKills(), before.oomKills)
    return {
      report,
      placement,
      isPlaced,
      usage,
      taskCpuUsec: difference(job.cpuUsec(), before.cpuUsec),
      oomKills: oomKills ?? usage?.oomKills,
    }
  } finally {
    await undoRun(runId, placement, undoDeps(daemon))
    hold.release()
  }
}

const difference = (after: number | undefined, before: number | undefined) =>
  after === undefined || before === undefined ? undefined : after - before

/** Its init, which waits at the gate. */
async function startProbe(runId: RunId, command: readonly string[], daemon: Daemon): Promise<Init> {
  const { engine, initPath, config } = daemon
  const directory = runDirectory(config.node.run_dir, runId)
  mkdirSync(directory, { mode: 0o700 })
  const account = { uid: NOBODY, gid: NOBODY, groups: [] }
  const gate = await openGate(join(directory, 'gate'), { ...account, initPath })
  try {
    const imageId = await probeImage(daemon)
    const spec = probeSpec(runId, imageId, join(directory, 'gate'), command, daemon)
    const id = await engine.create(spec)
    const failed = engine.start(id).then(() => gate.connected)
    const connected = Promise.race([gate.connected, failed])
    return await within(PROBE_WAIT_MS, connected, late('the probe did not start'))
  } catch (thrown) {
    gate.close()
    throw thrown
  }
}

/** The next probe makes it again; where it cannot be removed it is in nobody's way. */
async function removeProbeImage({ engine, log }: Daemon): Promise<void> {
  try {
    await engine.removeImage(PROBE_IMAGE)
  } catch (error) {
    log.warn({ err: error }, "cannot remove the probe's image")
  }
}

const late = (what: string) => () =>
  new HepwrapError('HW_ENGINE_FAILED', `${what} within ${PROBE_WAIT_MS / 1000} s`)

async function probeImage({ engine }: Daemon): Promise<string> {
  const known = await engine.findImage(PROBE_IMAGE)
  if (known !== undefined) return known.id
  await engine.importImage(EMPTY_TAR, PROBE_IMAGE)
  const made = await engine.findImage(PROBE_IMAGE)
  if (made === undefined) throw new Error('the engine lost the probe image')
  return made.id
}

function probeSpec(
  runId: RunId,
  imageId: string,
  gate: string,
  command: readonly string[],
  daemon: Daemon,
): ContainerSpec {
  const place = newGatePlace()
  return {
    name: containerName(runId),
    imageId,
    argv: [place.init, place.init, ...command],
    env: {},
    labels: { [RUN_LABEL]: runId, [NODE_LABEL]: nodeLabel(daemon) },
    uid: NOBODY,
    gid: NOBODY,
    groups: [],
    tty: false,
    interactive: false,
    network: 'none',
    readOnlyRootfs: true,
    devices: [],
    shmSizeBytes: undefined,
    ulimits: [],
    mounts: [bind(daemon.initPath, place.init), bind(gate, place.gate)],
    runtime: daemon.config.engine.runtime,
  }
}
