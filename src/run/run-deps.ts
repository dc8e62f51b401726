// What a run is given: the daemon's parts, and the client's side of one connection.
import type { Duplex, Writable } from 'node:stream'
import type { Ledger } from '../accounting/ledger.js'
import type { Clock } from '../base/clock.js'
import type { Logger } from '../base/log.js'
import type { Counters } from '../cgroup/counters.js'
import type { CgroupRoots } from '../proc/cgroup-mounts.js'
import type { DaemonConfig } from '../config/schema.js'
import type { Engine, EngineFacts } from '../engine/engine.js'
import type { Caller } from '../identity/caller.js'
import type { MountThread } from '../kernel/mount-thread.js'
import type { PublicKey } from '../signature/public-key.js'
import type { Signatures } from '../signature/signatures.js'
import type { JobTable } from '../slurm/job-table.js'
import type { RunEvent, RunRequest } from '../wire/run-api.js'
import type { ImageStore } from './image-store.js'
import type { LiveRuns } from './live-runs.js'
import type { OrphanReaper } from './orphans.js'
import type { RefusalBudget } from './refusal-budget.js'
import type { RunTally } from './tally.js'

export type PublicKeys = ReadonlyMap<string, PublicKey>

export interface RunDeps {
  readonly config: DaemonConfig
  readonly clock: Clock
  readonly log: Logger
  readonly ledger: Ledger
  readonly engine: Engine
  /** The engine's facts, asked once and kept while it lives. */
  readonly engineFacts: () => Promise<EngineFacts>
  readonly images: ImageStore
  readonly signatures: Signatures
  /** The keys that the configuration names, by path. */
  readonly publicKeys: PublicKeys
  readonly live: LiveRuns
  readonly jobs: JobTable
  readonly orphans: OrphanReaper
  readonly refusals: RefusalBudget
  readonly tally: RunTally
  readonly cgroupRoots: CgroupRoots
  readonly counters: Counters
  readonly mountThread: MountThread
  /** The static init on this node's file system. */
  readonly initPath: string
  readonly isStopping: () => boolean
}

/** One client's end of a run. */
export interface RunClient {
  readonly caller: Caller
  readonly request: RunRequest
  /** Monotonic ms at which the request was complete. */
  event(event: RunEvent): void
  /** Where the engine's frames go. */
  readonly output: Writable
  /** Connects stdin frames to the container; called once, only with -i. */
  stdinTo(engine: Duplex): void
  onSignal(listener: (signal: number) => void): void
  onResize(listener: (rows: number, columns: number) => void): void
  /** Aborted when the connection has ended. */
  readonly gone: AbortSignal
}
