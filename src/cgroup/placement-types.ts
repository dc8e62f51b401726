// Where a run lives in the cgroup tree, and its own limits there: what v1 and v2 agree on.

export interface PlacedDirectory {
  /** "memory", co-mounted "cpu,cpuacct", "freezer"; "cgroup2" on v2. */
  readonly controller: string
  /** Absolute path in the cgroup file system. */
  readonly path: string
  /** Ours, to be made and removed; false: the caller's own (the v1 freezer, so that Slurm's kill reaches the run). */
  readonly own: boolean
}

/** Where a run lives; plain JSON, kept in the ledger so that any later daemon can read, kill and remove it. */
export interface Placement {
  readonly version: 1 | 2
  readonly directories: readonly PlacedDirectory[]
}

export interface DeviceNumbers {
  readonly path: string
  readonly type: 'c' | 'b'
  readonly major: number
  readonly minor: number
}

/** Limits of the run's own, inside the job's. */
export interface PlacementLimits {
  readonly memoryBytes?: number | undefined
  /** CPU time per wall time, e.g. 1.5 */
  readonly cpus?: number | undefined
  readonly pidsMax?: number | undefined
  /** Nobody has asked for this pidsMax: a job that has no pids controller (v2) goes without. */
  readonly isPidsMaxUsual?: boolean
  /** Devices that the run asks for beside the engine's usual ones; what the job does not have is refused. */
  readonly devices?: readonly DeviceNumbers[]
}
