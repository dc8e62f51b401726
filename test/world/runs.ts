// Runs of hepwrap as tests watch them from outside: found by their --name, told from srun's own words, and gone at last.
import { readdirSync, readFileSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import { expect } from 'vitest'
import type { Daemon } from './daemon.js'
import { eventually } from './eventually.js'
import {
  cgroupsNamed,
  cgroupVersion,
  containers,
  engine,
  leftovers,
  nothing,
  pidsIn,
  processes,
  type Process,
} from './traces.js'
import { as, type CommandOptions, type Running, type User } from './world.js'

/** A step whose bash script may outlive its containers; a closing `hold` in it waits until stdin is closed. */
export function startStep(
  user: User,
  script: string,
  args: string[] = [],
  options?: CommandOptions,
): Running {
  const hold = 'hold() { cat >/dev/null; }'
  return as(user).startSrun(['-Q', ...args, 'bash', '-c', `${hold}; ${script}`], options)
}

/** What was said on stderr by anybody but Slurm. */
export function ownLines(stderr: string): string[] {
  return stderr
    .split('\n')
    .filter((line) => line !== '' && !/^(srun|slurmstepd|salloc|sbatch): /.test(line))
}

/** The client process of the run with this --name. */
export function clientOf(name: string): Promise<Process> {
  return eventually(() => clientsOf(name)[0], { what: `a client of ${name}` })
}

export function clientsOf(name: string): Process[] {
  return processes(new RegExp(`^\\S*node\\S* .*hepwrap\\S* run .*--name ${name} `))
}

/** The processes of that run but its init, by the cgroup that is its own. */
export function payloadsOf(daemon: Daemon, name: string): number[] {
  const id = daemon.ledgerRows('select * from records').find((row) => row['name'] === name)?.['id']
  if (typeof id !== 'string') return []
  return cgroupsNamed(new RegExp(`^hepwrap-${id}$`))
    .filter((path) => cgroupVersion === 2 || path.startsWith('/sys/fs/cgroup/memory/'))
    .flatMap(pidsIn)
    .filter((pid) => !/^\/\.hepwrap[^/]*\/init/.test(readFileSync(`/proc/${pid}/cmdline`, 'utf8')))
}

export type Row = Record<string, unknown> & {
  id: string
  state: string
  reason: string | null
  exit_code: number | null
  signal: number | null
}

/** The one record of the run with this --name. */
export function recordOf(daemon: Daemon, name: string): Row {
  const rows = daemon.ledgerRows('select * from records').filter((row) => row['name'] === name)
  expect(rows.map((row) => row['name'])).toEqual([name])
  return rows[0] as Row
}

/** The record once it is closed. */
export function closedRecord(daemon: Daemon, name: string, timeoutMs = 10_000): Promise<Row> {
  return eventually(
    () => {
      const row = recordOf(daemon, name)
      return row.state === 'RUNNING' ? undefined : row
    },
    { timeoutMs, what: `the end of record ${name}` },
  )
}

/** Within seconds nothing of any run is left: no cgroup, container, mount, init, run directory, nor a process of `word`. */
export async function expectNothingLeft(word?: string, timeoutMs = 5000): Promise<void> {
  const clean = { ...nothing, runDirectories: [], processes: [] }
  const look = async () => ({
    ...(await leftovers()),
    runDirectories: runDirectories(),
    processes: word === undefined ? [] : processes(new RegExp(word)),
  })
  const isClean = async () => isDeepStrictEqual(await look(), clean)
  await eventually(isClean, { timeoutMs }).catch(async () => {
    const found = await look()
    await discardRuns()
    expect(found).toEqual(clean)
  })
}

/** So that what one test leaves does not fail the next. */
async function discardRuns(): Promise<void> {
  for (const { Id, Labels } of await containers()) {
    if ('hepwrap.run' in Labels) await engine('DELETE', `/containers/${Id}?force=1`)
  }
}

function runDirectories(): string[] {
  const names = readdirSync('/run').filter((name) => /^hepwrap(-n\d)?$/.test(name))
  return names.flatMap((name) => readdirSync(`/run/${name}/runs`))
}
