// The attacker's program (programs/attempts.c) in a container of his, held there to be looked at from outside.
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readlinkSync } from 'node:fs'
import { expect } from 'vitest'
import { holdRun, statusField } from '../slurm/held-run.js'
import { eventually } from '../world/eventually.js'
import { processes } from '../world/traces.js'
import { as, expectSuccess, type User } from '../world/world.js'

/** Where users have it; compiled once a world. */
export const PROGRAM = '/scratch/attack/attempts'

export function compileAttempts(): void {
  mkdirSync('/scratch/attack', { recursive: true })
  const source = '/opt/hepwrap/test/attack/programs/attempts.c'
  execFileSync('gcc', ['-std=gnu11', '-static', '-O1', '-o', PROGRAM, source])
}

export interface Attempted {
  /** of the attacking process, as the node numbers it */
  readonly pid: number
  readonly initPid: number
  readonly outcomes: ReadonlyMap<string, string>
  /** what he was told, all of it */
  readonly output: string
  status: (field: string) => string
  /** where his descriptors lead */
  openFiles: () => string[]
  /** each of these was tried, and refused with one of these errors */
  expectRefused: (attempts: readonly string[], errors?: RegExp) => void
  release: () => Promise<void>
}

export const REFUSED = /^(EPERM|EACCES|EROFS|ENOSYS)$/

/** Makes the attempts, one after another, in one process of one run. */
export async function attemptInside(
  user: User,
  attempts: readonly string[],
  options: string[] = [],
  image = 'busybox:test',
): Promise<Attempted> {
  const command = ['sh', '-c', '/attack/attempts -hold "$@" & cat', 'sh', ...attempts]
  const mounts = ['-v', '/scratch/attack:/attack:ro', ...options]
  const run = await holdRun(user, ['srun', '-Q', '-p', 'shared'], mounts, {
    command,
    image,
    timeoutMs: 300_000,
  })
  const told = () => run.stdoutSoFar()
  await eventually(() => told().endsWith('end\n'), { what: 'the attempts' }).catch(() => {
    throw new Error(`attempts: ${told()}${run.stderrSoFar()}`)
  })
  const { pid } = processes(/^\/attack\/attempts -hold/).find(
    ({ ppid }) => ppid === run.payloadPid,
  )!
  const outcomes = outcomesOf(told())
  return {
    pid,
    initPid: run.initPid,
    outcomes,
    output: told(),
    status: (field) => statusField(pid, field),
    openFiles: () => openFilesOf(pid),
    expectRefused: (wanted, errors = REFUSED) => expectRefused(outcomes, wanted, errors),
    release: run.release,
  }
}

/** The same attempts by root, in a container of the engine's with all privileges: what they came to. */
export async function attemptPrivileged(attempts: readonly string[]): Promise<Map<string, string>> {
  const powers = ['SYS_ADMIN', 'SYS_NICE', 'SYS_PTRACE', 'DAC_READ_SEARCH', 'SYSLOG']
  const security = ['--security-opt=seccomp=unconfined', '--network=host', '-v']
  const argv = ['docker', 'run', '--rm', ...powers.map((name) => `--cap-add=${name}`), ...security]
  const program = ['/scratch/attack:/attack', 'busybox:test', '/attack/attempts']
  const { stdout } = expectSuccess(await as('root').run([...argv, ...program, ...attempts]))
  return outcomesOf(stdout)
}

function outcomesOf(text: string): Map<string, string> {
  const lines = text.split('\n').filter((line) => line.includes(' '))
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(' ')
      return [line.slice(0, at), line.slice(at + 1)]
    }),
  )
}

function expectRefused(
  outcomes: ReadonlyMap<string, string>,
  wanted: readonly string[],
  errors: RegExp,
): void {
  const found = wanted.map((name) => `${name} ${outcomes.get(name) ?? 'not tried'}`)
  const wrong = found.filter((line) => !errors.test(line.slice(line.lastIndexOf(' ') + 1)))
  expect(wrong).toEqual([])
}

export function openFilesOf(pid: number): string[] {
  const directory = `/proc/${pid}/fd`
  return readdirSync(directory).map((fd) => readlinkSync(`${directory}/${fd}`))
}
