// From an admitted run to an init that waits at the gate inside the run's cgroup: everything up to the first instruction
// of image or user. What it makes is undone by run id (run/undo.ts), whatever point it reached.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { HepwrapError } from '../base/errors.js'
import { isInside, openEntrances } from '../cgroup/entrances.js'
import { within } from '../base/within.js'
import { enterPlacement, makePlacement, type Placement } from '../cgroup/placement.js'
import type { ContainerSpec, ImageFacts } from '../engine/engine.js'
import { copyAffinity } from '../kernel/affinity.js'
import { lookupGroup, lookupUser } from '../kernel/accounts.js'
import { closeFd } from '../kernel/pidfd.js'
import { readDevice } from '../mounts/device.js'
import { groupText, passwdText, type AccountNames } from '../mounts/passwd.js'
import { holdBack } from '../mounts/placeholders.js'
import { stageMounts, unstageMounts, type Staging } from '../mounts/staging.js'
import type { RunPlan } from '../plan/run-plan.js'
import { mountLaw, type MountLaw } from '../policy/policy.js'
import { readCgroups } from '../proc/cgroup-of.js'
import type { ContainerId } from '../base/ids.js'
import type { Admission } from './admit.js'
import { containerSpec, newGatePlace, ownBinds, workdirOf } from './container-spec.js'
import { barDevices } from './no-devices.js'
import { openGate, type Gate, type Init } from './gate.js'
import { abortable } from '../base/abortable.js'
import type { LiveRun } from './live-runs.js'
import type { RunDeps } from './run-deps.js'
import type { Stopwatch } from './stopwatch.js'
import { runDirectory } from './undo.js'

export interface Launch {
  readonly spec: ContainerSpec
  readonly workdir: string
  readonly containerId: ContainerId
  readonly stdio: Duplex
  readonly init: Init
  /** Settles when the engine's start call has returned. */
  readonly started: Promise<void>
}

export interface LaunchParts {
  readonly admission: Admission
  readonly image: ImageFacts
  /** The user named a working directory. */
  readonly asksWorkdir: boolean
  readonly live: LiveRun
  readonly watch: Stopwatch
  readonly deps: RunDeps
}

export async function launch(parts: LaunchParts): Promise<Launch> {
  const { admission, image, live, watch, deps } = parts
  const { plan, site, placement } = admission
  const directory = runDirectory(deps.config.node.run_dir, plan.runId)
  const limits = {
    ...(plan.memoryBytes === undefined ? {} : { memoryBytes: plan.memoryBytes }),
    ...(plan.cpus === undefined ? {} : { cpus: plan.cpus }),
    pidsMax: plan.pidsMax,
    isPidsMaxUsual: site['ceilings.pids'].by.file === undefined,
    devices: plan.devices.map(readDevice),
  }
  makePlacement(placement, limits)
  watch.lap('cgroup')
  mkdirSync(directory, { mode: 0o700 })
  const { uid, gid, groups } = plan.caller
  const { initPath } = deps
  const gate = await openGate(join(directory, 'gate'), { uid, gid, groups, initPath })
  try {
    const place = newGatePlace()
    await writeAccounts(plan, directory)
    const { mounts, skipped } = await stage(plan, mountLaw(site, deps.config), directory, deps)
    const placeholders = await holdBack(mounts, directory)
    const spec = containerSpec({
      plan,
      image,
      place,
      node: nodeLabel(deps),
      runtime: deps.config.engine.runtime,
      mounts: [...ownBinds(directory, place, initPath), ...placeholders.mounts],
    })
    watch.lap('mounts')
    live.ending.throwIfAborted()
    const containerId = await deadline(deps, 'create', deps.engine.create(spec))
    watch.lap('create')
    const stdio = await deadline(deps, 'attach', deps.engine.attach(containerId, plan.interactive))
    watch.lap('attach')
    live.ending.throwIfAborted()
    const starting = deps.engine.start(containerId)
    starting.catch(() => undefined) // seen by meetInit, or by nobody once init is there
    const init = await abortable(meetInit(gate, starting, containerId, deps), live.ending)
    placeholders.fill(init.pid)
    const barred = barDevices(init, deps)
    barred.catch(() => undefined) // told below, when init is in its place
    const started = starting.then(() => unstageMounts(directory))
    started.catch(() => undefined)
    watch.lap('start')
    deps.counters.begin(placement)
    await enter(init, placement, deps)
    copyAffinity(plan.caller.pid, init.pid) // Slurm binds a task by it, inside the cpuset of its step
    watch.lap('enter')
    await abortable(barred, live.ending)
    watch.lap('nodev')
    const leftOut = skipped.map(({ target }) => target)
    const workdir = workdirOf(plan, image, { isAsked: parts.asksWorkdir, leftOut })
    return { spec, workdir, containerId, stdio, init, started }
  } catch (thrown) {
    gate.close()
    throw thrown
  }
}

/** Init goes by itself, which the kernel allows at once; to move it from here takes milliseconds. */
async function enter(init: Init, placement: Placement, deps: RunDeps): Promise<void> {
  if (!(await hasEntered(init, placement, deps))) enterPlacement(placement, init.pid)
}

/** What counts is where the kernel says that it is. A failure here is told by the second attempt. */
async function hasEntered(
  init: Init,
  placement: Placement,
  { cgroupRoots }: RunDeps,
): Promise<boolean> {
  let entrances: readonly number[] = []
  try {
    entrances = openEntrances(placement)
    if (entrances.length > 0) await init.enter(entrances)
    return isInside(placement, readCgroups(init.pid), cgroupRoots)
  } catch {
    return false
  } finally {
    entrances.forEach(closeFd)
  }
}

export const nodeLabel = ({ config }: Pick<RunDeps, 'config'>): string =>
  `${config.node.cluster}/${config.node.name}`

/** Who the user is, in files of the container's own. */
async function writeAccounts(plan: RunPlan, directory: string): Promise<void> {
  const names = await accountNames(plan)
  const write = (name: string, text: string) =>
    writeFileSync(join(directory, name), text, { flag: 'wx', mode: 0o644 })
  write('passwd', passwdText(names))
  write('group', groupText(names))
}

async function accountNames({ caller, home, shell }: RunPlan): Promise<AccountNames> {
  const { uid, gid, groups } = caller
  const groupNames = new Map<number, string>()
  const nameGroup = async (id: number) => {
    const name = await lookupGroup(id)
    if (name !== undefined) groupNames.set(id, name)
  }
  const [user] = await Promise.all([lookupUser(uid), ...[gid, ...groups].map(nameGroup)])
  return {
    uid,
    gid,
    groups,
    userName: user?.name,
    groupNames,
    home: home ?? user?.home,
    shell: shell ?? user?.shell,
  }
}

async function stage(
  plan: RunPlan,
  law: MountLaw,
  directory: string,
  deps: RunDeps,
): Promise<Staging> {
  const staging = await stageMounts(plan.mounts, {
    caller: plan.caller,
    runDirectory: directory,
    law,
  })
  for (const { target, code, message } of staging.skipped)
    deps.log.info({ runId: plan.runId, target, code }, `mount left out: ${message}`)
  return staging
}

/** Whoever is first: init at the gate, the engine's refusal, a container that died on its way, or the time-out. */
async function meetInit(
  gate: Gate,
  started: Promise<void>,
  containerId: ContainerId,
  deps: RunDeps,
): Promise<Init> {
  const failed = started.then(() => diedAtStart(containerId, deps))
  failed.catch(() => undefined)
  return deadline(deps, 'start', Promise.race([gate.connected, failed]))
}

/** The engine says it started, so init connects within milliseconds; if not, the container has an end to tell of. */
async function diedAtStart(containerId: ContainerId, { engine }: RunDeps): Promise<never> {
  await new Promise((resolve) => setTimeout(resolve, 1000))
  const status = await engine.wait(containerId)
  await new Promise((resolve) => setTimeout(resolve, 100)) // init may have passed the gate and ended by now
  throw new HepwrapError(
    'HW_ENGINE_FAILED',
    `the container ended with status ${status} before its command began`,
  )
}

async function deadline<T>(
  { config, orphans }: RunDeps,
  what: string,
  work: Promise<T>,
): Promise<T> {
  const seconds = config.node.start_timeout_s
  return within(seconds * 1000, work, () => {
    orphans.suspect() // the engine may still do what it was asked
    const text = `the container engine did not ${what} the container in ${seconds} s`
    return new HepwrapError('HW_START_TIMEOUT', text)
  })
}
