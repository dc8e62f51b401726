// Branded ids: a number or string that came from the right place, never any number or string.
import { randomBytes } from 'node:crypto'

declare const brand: unique symbol
type Branded<T, Name extends string> = T & { readonly [brand]: Name }

/** 32 lower-case hex digits; names the container, the cgroup directory, the run directory and the record. */
export type RunId = Branded<string, 'RunId'>
export type JobId = Branded<number, 'JobId'>
/** Slurm's step name: "0", "batch", "extern", "interactive", "0+1" (het). */
export type StepId = Branded<string, 'StepId'>
/** The engine's own id of a container: 64 hex digits. */
export type ContainerId = Branded<string, 'ContainerId'>

/** What the first characters of every name that we make in someone else's tree look like. */
export const OUR_PREFIX = 'hepwrap-'

export const newRunId = (): RunId => randomBytes(16).toString('hex') as RunId

export const isRunId = (text: string): text is RunId => /^[0-9a-f]{32}$/.test(text)

/** Parses a job id as Slurm writes it (1 … 4294967294); undefined for anything else. */
export function parseJobId(text: string): JobId | undefined {
  if (!/^[1-9][0-9]{0,9}$/.test(text)) return undefined
  const value = Number(text)
  return value < 0xfffffffe ? (value as JobId) : undefined
}
