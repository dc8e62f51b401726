// The composition root: every part of the daemon, made once and handed on. No part finds another by itself.
import { chmodSync, copyFileSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openLedger } from '../accounting/ledger.js'
import { systemClock } from '../base/clock.js'
import { asHepwrapError, HepwrapError } from '../base/errors.js'
import { keptFor } from '../base/kept-for.js'
import { createLogger, type Logger } from '../base/log.js'
import type { DaemonConfig } from '../config/schema.js'
import { createDockerEngine } from '../engine/docker-engine.js'
import { createCounters } from '../cgroup/counters.js'
import { startMountThread } from '../kernel/mount-thread.js'
import { cgroupMounts } from '../proc/cgroup-mounts.js'
import { createBookkeeping, type Bookkeeping } from './bookkeeping.js'
import { createMeters, type Meters } from './meters.js'
import { readPublicKeys } from './public-keys.js'
import { createImageStore } from '../run/image-store.js'
import { createLiveRuns } from '../run/live-runs.js'
import { createOrphanReaper } from '../run/orphans.js'
import { createRefusalBudget } from '../run/refusal-budget.js'
import type { RunDeps } from '../run/run-deps.js'
import { isInsecureRegistry } from '../signature/insecure-registries.js'
import { createSignatures } from '../signature/signatures.js'
import { createJobTable } from '../slurm/job-table.js'

export interface Daemon extends RunDeps {
  /** From now on new runs are refused. */
  beginStop(): void
  readonly bookkeeping: Bookkeeping
  readonly meters: Meters
}

/** Engines are upgraded under a running daemon. */
const ENGINE_FACTS_TTL_MS = 60_000

export function compose(config: DaemonConfig): Daemon {
  const clock = systemClock
  const log = createLogger(config.node.log_level, 'hepwrapd')
  const publicKeys = readPublicKeys(config)
  const runDir = config.node.run_dir
  mkdirSync(runDir, { recursive: true, mode: 0o755 })
  mkdirSync(join(runDir, 'runs'), { recursive: true, mode: 0o700 })
  const ledger = openLedger(config.node.state_dir)
  const node = `${config.node.cluster}/${config.node.name}`
  const questionMs = Math.min(10, config.node.start_timeout_s) * 1000
  const engine = createDockerEngine({
    socketPath: config.engine.socket,
    node,
    runDir: config.node.run_dir,
    questionMs,
  })
  const engineFacts = keptFor(clock, ENGINE_FACTS_TTL_MS, () => engine.facts())
  const live = createLiveRuns(config.node.stop_timeout_s * 1000)
  const images = createImageStore(engine)
  const meters = createMeters(clock)
  meters.watchQueue('pull', () => images.waiting())
  let isStopping = false
  return {
    config,
    clock,
    log,
    ledger,
    engine,
    engineFacts,
    images,
    publicKeys,
    signatures: createSignatures({
      directory: join(config.node.state_dir, 'signatures'),
      clock,
      isInsecure: async (host) => isInsecureRegistry(host, (await engineFacts()).registries),
      onKeepFailed: (error) => log.warn({ err: error }, 'a signature could not be kept'),
    }),
    live,
    bookkeeping: createBookkeeping(config),
    meters,
    tally: meters.tally,
    jobs: createJobTable(join(runDir, 'jobs'), { clock, warn: (message) => log.warn(message) }),
    orphans: createOrphanReaper(engine, live, log),
    refusals: createRefusalBudget(clock),
    cgroupRoots: cgroupMounts(),
    counters: createCounters(),
    mountThread: startMountThread(),
    initPath: installInit(config.node.state_dir, log),
    isStopping: () => isStopping,
    beginStop: () => void (isStopping = true),
  }
}

/**
 * Our own copy, 0711: a program that its user cannot read is never dumpable, so no process of his can ptrace it. Not
 * below /run, where Debian's systems let nothing be executed (noexec).
 */
function installInit(stateDirectory: string, log: Logger): string {
  const built = fileURLToPath(new URL('../native/hepwrap-init', import.meta.url))
  const installed = join(stateDirectory, 'hepwrap-init')
  try {
    copyFileSync(built, `${installed}.new`)
    chmodSync(`${installed}.new`, 0o711)
    renameSync(`${installed}.new`, installed) // containers that run keep the one they have
  } catch (cause) {
    rmSync(`${installed}.new`, { force: true }) // half of it takes the ledger's room
    const { message } = asHepwrapError(cause)
    throw new HepwrapError('HW_LEDGER_UNAVAILABLE', `cannot install the init: ${message}`, {
      cause,
    })
  }
  log.debug({ installed }, 'init installed')
  return installed
}
