// Runs of images that try something, held to be looked at from outside: whatever an image says, these things are as always.
import { readFileSync } from 'node:fs'
import { expect } from 'vitest'
import { type HeldRun, type HeldRunOptions, holdRun, statusField } from '../slurm/held-run.js'
import { hepwrapRuns } from '../slurm/job-runs.js'
import { type Daemon, stopDaemons } from '../world/daemon.js'
import { type Container, containers, engine, leftovers, mounts, nothing } from '../world/traces.js'
import { docker, type HostileImage, loadImage } from './hostile-image.js'

export const shared = ['srun', '-Q', '-p', 'shared']

/** What the engine says of a container that is ours. */
export interface Inspected {
  readonly Id: string
  readonly Config: {
    readonly User: string
    readonly WorkingDir: string
    readonly StopSignal: string
    readonly Labels: Record<string, string>
    readonly Healthcheck?: { readonly Test: string[] }
  }
  readonly State: { readonly Health?: object }
  readonly GraphDriver: { readonly Data: Record<string, string> }
}

export const ours = async (): Promise<Container[]> =>
  (await containers()).filter(({ Names }) => Names.some((name) => name.startsWith('/hepwrap-')))

export async function inspectOnlyRun(): Promise<Inspected> {
  const [only, ...others] = await ours()
  expect(others).toEqual([])
  return (await engine('GET', `/containers/${only!.Id}/json`)).body as Inspected
}

/** Loads the image and holds a run of it by alice, who is nobody else for it, with our init before her command. */
export async function holdHostile(
  name: string,
  image: HostileImage,
  options: string[] = [],
  more: HeldRunOptions = {},
): Promise<HeldRun> {
  await loadImage(name, image)
  const run = await holdRun('alice', shared, options, { timeoutMs: 60_000, ...more, image: name })
  try {
    expectOrdinary(run)
    return run
  } catch (error) {
    run.kill('SIGKILL')
    await run.result
    throw error
  }
}

function expectOrdinary(run: HeldRun): void {
  expectPlainUser(run.payloadPid)
  expectPlainUser(run.initPid)
  const built = readFileSync(new URL('../../dist/native/hepwrap-init', import.meta.url))
  expect(readFileSync(`/proc/${run.initPid}/exe`).equals(built)).toBe(true)
  expect(run.cgroups['memory']).toMatch(
    /\/uid_2001\/job_\d+\/step_0\/task_0\/hepwrap-[0-9a-f]{32}$/,
  )
  expect(mountAt(run.payloadPid, '/etc/passwd')?.root).toMatch(/\/runs\/[0-9a-f]{32}\/passwd$/)
  expect(mountAt(run.payloadPid, '/etc/group')?.root).toMatch(/\/runs\/[0-9a-f]{32}\/group$/)
}

/** Identity and power of a process as the kernel of the node has it. */
export function expectPlainUser(pid: number): void {
  const of = (field: string) => statusField(pid, field)
  expect([of('Uid'), of('Gid')]).toEqual(['2001 2001 2001 2001', '2001 2001 2001 2001'])
  expect(of('Groups').split(' ').map(Number).sort()).toEqual([2001, 3000])
  const powers = ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'].map(of)
  expect(new Set(powers)).toEqual(new Set(['0'.repeat(16)]))
  expect([of('NoNewPrivs'), of('Seccomp')]).toEqual(['1', '2'])
}

/** What of its file system is mounted last at this place of a container. */
export const mountAt = (pid: number, path: string) =>
  mounts(pid).findLast(({ mountPoint }) => mountPoint === path)

/** The node's own mounts, but those that belong to a run and are checked with it. */
export const nodeMounts = (): string[] =>
  mounts()
    .map(({ mountPoint }) => mountPoint)
    .filter((path) => !/^\/(var\/lib\/docker|run\/docker|run\/hepwrap\/runs)\//.test(path))

export const volumes = async (): Promise<string[]> =>
  (await docker('volume', 'ls', '--quiet')).split('\n').filter(Boolean)

/** Runs that must end by themselves, one after another in one step: "STATUS REASON" of each, as its record has them. */
export async function outcomes(daemon: Daemon, runs: string[][]): Promise<string[]> {
  const before = daemon.ledgerRows().length
  const results = await hepwrapRuns('alice', runs, { slurm: ['-p', 'shared'] })
  const rows = daemon.ledgerRows().slice(before)
  expect(rows.map((row) => row['exit_code'])).toEqual(results.map(({ status }) => status))
  for (const { stderr } of results) expect(stderr).not.toMatch(/[\u001b\u0007]/)
  return rows.map((row) => `${String(row['exit_code'])} ${String(row['reason'])}`)
}

/** For afterAll: nothing of any run is left, and no fault of the daemon's own was logged. */
export async function endDaemon(daemon: Daemon): Promise<void> {
  try {
    expect(await leftovers()).toEqual(nothing)
    expect(await volumes()).toEqual([])
  } finally {
    await stopDaemons()
  }
  expect(daemon.logText()).not.toMatch(/"level":(50|60)/)
}
