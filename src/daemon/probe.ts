// The doctor's probe: our init in an empty image, as nobody, through the gate, below the daemon's own cgroup.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { newRunId } from '../base/ids.js'
import {
  enterPlacement,
  makePlacement,
  planPlacement,
  type PlacementLimits,
} from '../cgroup/placement.js'
import type { Usage } from '../cgroup/usage.js'
import type { ContainerSpec } from '../engine/engine.js'
import { NODE_LABEL, RUN_LABEL } from '../engine/docker-engine.js'
import { parseImageRef } from '../plan/image-ref.js'
import { readCgroups } from '../proc/cgroup-of.js'
import { bind, newGatePlace } from '../run/container-spec.js'
import { openGate, type InitReport } from '../run/gate.js'
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
  readonly usage: Usage | undefined
}

/** Runs one of init's own probe commands under these limits; leaves nothing but the image, for the next probe. */
export async function probeLimit(
  daemon: Daemon,
  limits: PlacementLimits,
  command: readonly string[],
): Promise<Probe> {
  const runId = newRunId()
  const { engine, counters, config } = daemon
  const placement = planPlacement(readCgroups(process.pid), runId, daemon.cgroupRoots)
  const directory = runDirectory(config.node.run_dir, runId)
  const hold = daemon.live.hold(runId) // or the sweep would take it for an orphan
  try {
    makePlacement(placement, limits)
    mkdirSync(directory, { mode: 0o700 })
    const gate = await openGate(join(directory, 'gate'), {
      uid: NOBODY,
      gid: NOBODY,
      groups: [],
      initPath: daemon.initPath,
    })
    const imageId = await probeImage(daemon)
    const id = await engine.create(
      probeSpec(runId, imageId, join(directory, 'gate'), command, daemon),
    )
    const started = engine.start(id)
    const init = await Promise.race([
      gate.connected,
      started.then(() => late('the probe did not start')),
    ])
    counters.begin(placement)
    enterPlacement(placement, init.pid)
    init.go(0o022, '/')
    const report = await Promise.race([init.ended, late('the probe did not end')])
    return { report, usage: await closePlacement(placement, daemon) }
  } finally {
    await undoRun(runId, placement, undoDeps(daemon))
    hold.release()
  }
}

/** The next probe makes it again; where it cannot be removed it is in nobody's way. */
export async function removeProbeImage({ engine, log }: Daemon): Promise<void> {
  try {
    await engine.removeImage(PROBE_IMAGE)
  } catch (error) {
    log.warn({ err: error }, "cannot remove the probe's image")
  }
}

const late = (what: string) =>
  new Promise<never>((_resolve, reject) => {
    setTimeout(
      () => reject(new Error(`${what} within ${PROBE_WAIT_MS / 1000} s`)),
      PROBE_WAIT_MS,
    ).unref()
  })

async function probeImage({ engine }: Daemon): Promise<string> {
  const known = await engine.findImage(PROBE_IMAGE)
  if (known !== undefined) return known.id
  await engine.importImage(EMPTY_TAR, PROBE_IMAGE)
  const made = await engine.findImage(PROBE_IMAGE)
  if (made === undefined) throw new Error('the engine lost the probe image')
  return made.id
}

function probeSpec(
  runId: ReturnType<typeof newRunId>,
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
