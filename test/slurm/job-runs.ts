// `hepwrap` as users type it: each run in a job step of its own, records as `hepwrap acct` gives them.
import type { UsageRecord } from '../../src/wire/usage-api.js'
import { eventually } from '../world/eventually.js'
import {
  as,
  type CommandOptions,
  expectSuccess,
  type Result,
  type Running,
  type User,
} from '../world/world.js'

export interface RunOptions extends CommandOptions {
  /** arguments of srun's; -Q is always among them */
  slurm?: string[]
}

/** `srun hepwrap run ARGS` to its end. */
export function hepwrapRun(
  user: User,
  args: string[],
  { slurm = [], ...options }: RunOptions = {},
): Promise<Result> {
  return as(user).srun(['-Q', ...slurm, 'hepwrap', 'run', ...args], options)
}

/** The same, going on. On the partition where many jobs share a core. */
export function startRun(
  user: User,
  args: string[],
  { slurm = [], ...options }: RunOptions = {},
): Running {
  return as(user).startSrun(['-Q', '-p', 'shared', ...slurm, 'hepwrap', 'run', ...args], options)
}

/** Several runs one after another in one job step: much faster than a job each. */
export async function hepwrapRuns(
  user: User,
  runs: string[][],
  { slurm = [], ...options }: RunOptions = {},
): Promise<Pick<Result, 'status' | 'stdout' | 'stderr'>[]> {
  const script = `
    const { spawnSync } = require('child_process')
    for (const args of JSON.parse(process.argv[1])) {
      const { status, stdout, stderr } = spawnSync('hepwrap', ['run', ...args], { encoding: 'utf8' })
      console.log(JSON.stringify({ status, stdout, stderr }))
    }`
  const argv = ['-Q', ...slurm, 'node', '-e', script, JSON.stringify(runs)]
  const { stdout } = expectSuccess(await as(user).srun(argv, { timeoutMs: 50_000, ...options }))
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Result)
}

/** What `hepwrap acct` shows this user, oldest first. */
export async function records(user: User, ...args: string[]): Promise<UsageRecord[]> {
  const { stdout } = expectSuccess(await hepwrap(user, ['acct', '--format', 'json', ...args]))
  return JSON.parse(stdout) as UsageRecord[]
}

/** The record of the run with this --name, once it is in this state. */
export function recordNamed(name: string, state = /./): Promise<UsageRecord> {
  return eventually(
    async () => (await records('root')).find((one) => one.name === name && state.test(one.state)),
    { what: `a record of ${name} in state ${String(state)}` },
  )
}

/** Any other verb, outside jobs. */
export const hepwrap = (user: User, args: string[], options?: CommandOptions): Promise<Result> =>
  as(user).run(['hepwrap', ...args], options)

/** hepwrap's own lines on stderr: srun adds lines of its own. */
export const complaint = ({ stderr }: Pick<Result, 'stderr'>): string =>
  stderr
    .split('\n')
    .filter((line) => line.startsWith('hepwrap: '))
    .join('\n')
