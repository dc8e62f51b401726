// RunPlan: one run fully resolved and immutable. What it cannot say cannot happen: the engine's request is built from it alone.
import type { RunId } from '../base/ids.js'
import type { Caller } from '../identity/caller.js'
import type { JobRef } from '../slurm/job-of.js'
import type { JobFacts } from '../wire/job-api.js'
import type { PullMode, UlimitRequest } from '../wire/run-api.js'
import type { ImageRef } from './image-ref.js'

/** A descriptor of the caller's that the kernel let him open; see mounts/staging. */
export interface CallerMount {
  readonly kind: 'caller'
  /** As written by the user or chosen by us; for messages. */
  readonly source: string
  readonly fd: number
  readonly target: string
  readonly readOnly: boolean
  readonly origin: 'user' | 'home' | 'cwd'
}

/** A path of the site's own configuration ([mounts] always). */
export interface SiteMount {
  readonly kind: 'site'
  readonly source: string
  readonly target: string
  readonly readOnly: boolean
  /** Left out with a log line where the source is absent. */
  readonly optional: boolean
}

export interface TmpfsMount {
  readonly kind: 'tmpfs'
  readonly target: string
  readonly sizeBytes: number | undefined
  readonly mode: number | undefined
}

export type PlanMount = CallerMount | SiteMount | TmpfsMount

/** What Slurm gave the job, by its cgroups; undefined: no limit is known. */
export interface JobLimits {
  readonly memoryBytes: number | undefined
  readonly cpus: number | undefined
}

/** Resource limits of the caller's own process by docker's names ("nofile"), -1 for unlimited. */
export type Rlimits = ReadonlyMap<string, { readonly soft: number; readonly hard: number }>

export interface RunPlan {
  readonly runId: RunId
  readonly caller: Caller
  /** Undefined only where the site allows runs outside of jobs. */
  readonly job: JobRef | undefined
  /** What the prolog announced of the job, if it did. */
  readonly jobFacts: JobFacts | undefined
  readonly jobLimits: JobLimits
  /** Undefined: not known, and then nothing may be raised. */
  readonly rlimits: Rlimits | undefined
  readonly image: ImageRef
  readonly pull: PullMode
  /** Undefined: the image's; "": none. */
  readonly entrypoint: string | undefined
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** Undefined: the image's. */
  readonly workdir: string | undefined
  readonly interactive: boolean
  readonly tty: boolean
  readonly terminal: { readonly rows: number; readonly columns: number } | undefined
  readonly name: string | undefined
  readonly labels: Readonly<Record<string, string>>
  readonly network: 'host' | 'none'
  readonly readOnlyRootfs: boolean
  /** Devices of the node, "/dev/fuse", at the same place in the container. */
  readonly devices: readonly string[]
  readonly shmSizeBytes: number | undefined
  /** The caller's own, as far as they are known, and what he asked for instead. */
  readonly ulimits: readonly UlimitRequest[]
  readonly stopTimeoutMs: number
  readonly memoryBytes: number | undefined
  readonly cpus: number | undefined
  /** Processes and threads. */
  readonly pidsMax: number
  /** In the order in which they are mounted: parents before children. */
  readonly mounts: readonly PlanMount[]
  readonly home: string | undefined
  readonly shell: string | undefined
  readonly verbose: boolean
}
