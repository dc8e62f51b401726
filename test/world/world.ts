// The test world as tests see it: users who run commands and submit jobs. Only inside test/world:
// test/world/enter /opt/hepwrap/test/world/cluster -- npx vitest run --project world
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { eventually, PATIENCE } from './eventually.js'

if (hostname() !== 'hepnode') {
  throw new Error('these tests run inside the test world: test/world/enter CMD')
}

export interface Result {
  status: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
  stdoutBytes: Buffer
  durationMs: number
}

export interface CommandOptions {
  input?: string | Buffer
  env?: Record<string, string>
  cwd?: string
  timeoutMs?: number
}

/** A command that runs: `result` settles when it has ended and its output is read to the end. */
export interface Running {
  child: ChildProcess
  pid: number
  result: Promise<Result>
  kill: (signal: NodeJS.Signals) => void
  /** what it has written until now */
  stdoutSoFar: () => string
  stderrSoFar: () => string
}

export type Settled = Record<string, string> & { state: string; exitCode: number; signal: number }

const accounts = {
  root: { uid: 0, home: '/root' },
  alice: { uid: 2001, home: '/home/alice' },
  bob: { uid: 2002, home: '/home/bob' },
} as const
export type User = keyof typeof accounts

/** Everything that a user can ask of the node. Root is the admin. */
export function as(user: User) {
  const run = (argv: string[], options?: CommandOptions) => start(user, argv, options).result
  return {
    user,
    ...accounts[user],
    /** keeps stdin open unless `input` is given */
    start: (argv: string[], options?: CommandOptions) => start(user, argv, options, true),
    run,
    srun: (args: string[], options?: CommandOptions) => run(['srun', ...args], options),
    startSrun: (args: string[], options?: CommandOptions) =>
      start(user, ['srun', ...args], options, true),
    sbatch: (script: string, args: string[] = [], options: CommandOptions = {}) =>
      submit(user, script, args, options),
    scancel: async (...args: string[]) => expectSuccess(await run(['scancel', ...args])),
  }
}

export type Service =
  | 'munged'
  | 'prometheus'
  | 'slurmctld'
  | `slurmd-n${1 | 2 | 3}`
  | 'dockerd'
  | 'podman'
  | 'registry'
  | 'registry-auth'
  | 'mariadb'
  | 'slurmdbd'

/** Takes a service away and gives it back; see the script service. */
export async function service(
  verb: 'start' | 'stop' | 'kill' | 'restart',
  ...names: Service[]
): Promise<void> {
  expectSuccess(await as('root').run(['/opt/hepwrap/test/world/service', verb, ...names]))
}

/** Waits until Slurm has closed the job, epilog included. */
export async function waitJob(jobId: string, timeoutMs = 30_000): Promise<Settled> {
  const open = [
    'PENDING',
    'CONFIGURING',
    'RUNNING',
    'COMPLETING',
    'SIGNALING',
    'SUSPENDED',
    'REQUEUED',
  ]
  return eventually(
    async () => {
      const job = await showJob(jobId)
      return open.includes(job.state) ? undefined : job
    },
    { timeoutMs, what: `the end of job ${jobId}` },
  )
}

/** Waits until the job is in this state. */
export async function waitState(jobId: string, state: string, timeoutMs = 15_000): Promise<void> {
  await eventually(async () => (await showJob(jobId)).state === state, {
    timeoutMs,
    what: `state ${state} of job ${jobId}`,
  })
}

/** Lets the job's time limit be over. Slurm looks twice a minute, so this takes up to 30 s. */
export async function expireJob(jobId: string): Promise<void> {
  const update = ['scontrol', 'update', `jobid=${jobId}`, 'endtime=now']
  // Refused ("Invalid time specified") in the very second in which the job began.
  await eventually(async () => expectSuccess(await as('root').run(update)))
}

/** The fields of `scontrol show job`, with state and exit status taken apart. */
export async function showJob(jobId: string): Promise<Settled> {
  const { stdout } = expectSuccess(await as('root').run(['scontrol', '-o', 'show', 'job', jobId]))
  const fields: Record<string, string> = {}
  for (const [, key, value] of stdout.matchAll(/(\S+?)=(\S*)/g)) fields[key!] = value!
  const [exitCode, signal] = (fields['ExitCode'] ?? '0:0').split(':').map(Number)
  return {
    ...fields,
    state: fields['JobState'] ?? '',
    exitCode: exitCode!,
    signal: signal!,
  } as Settled
}

export interface Submitted {
  id: string
  outputPath: string
  output: () => string
}

async function submit(
  user: User,
  script: string,
  args: string[],
  options: CommandOptions,
): Promise<Submitted> {
  const cwd = options.cwd ?? accounts[user].home
  const argv = ['sbatch', '--parsable', `--output=${cwd}/job-%j.out`, ...args]
  const input = script.startsWith('#!') ? script : `#!/bin/sh\n${script}\n`
  const { stdout } = expectSuccess(await start(user, argv, { ...options, input }).result)
  const id = stdout.trim().split(';')[0]!
  const outputPath = `${cwd}/job-${id}.out`
  return { id, outputPath, output: () => readFileSync(outputPath, 'utf8') }
}

function start(
  user: User,
  argv: string[],
  { input, env, cwd, timeoutMs = 30_000 }: CommandOptions = {},
  keepStdin = false,
): Running {
  const { uid, home } = accounts[user]
  const startedAtMs = performance.now()
  const identity = ['--reuid', String(uid), '--regid', String(uid), '--init-groups']
  const child = spawn('setpriv', [...identity, '--', ...argv], {
    cwd: cwd ?? home,
    env: { ...loginEnvironment(user), ...env },
    stdio: 'pipe',
  })
  const stdout = collect(child.stdout)
  const stderr = collect(child.stderr)
  child.stdin.on('error', ignoreClosedPipe)
  if (input !== undefined || !keepStdin) child.stdin.end(input)
  const result = new Promise<Result>((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      const written = `stdout: ${stdout.text()}\nstderr: ${stderr.text()}`
      reject(new Error(`${argv.join(' ')}: not ended after ${timeoutMs * PATIENCE} ms\n${written}`))
    }, timeoutMs * PATIENCE)
    child.on('error', reject)
    child.on('close', (status, signal) => {
      clearTimeout(timer)
      const durationMs = performance.now() - startedAtMs
      const stdoutBytes = stdout.bytes()
      const texts = { stdout: stdout.text(), stderr: stderr.text() }
      resolve({ status, signal, ...texts, stdoutBytes, durationMs })
    })
  })
  result.catch(() => undefined) // a test that never awaits it is not at fault
  return {
    child,
    pid: child.pid ?? 0,
    result,
    kill: (signal) => void child.kill(signal),
    stdoutSoFar: stdout.text,
    stderrSoFar: stderr.text,
  }
}

function loginEnvironment(user: User): Record<string, string> {
  return {
    HOME: accounts[user].home,
    USER: user,
    LOGNAME: user,
    SHELL: '/bin/bash',
    LANG: 'C.UTF-8',
    HEPWRAP_TEST_PATIENCE: String(PATIENCE),
    PATH: '/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin',
  }
}

function collect(stream: NodeJS.ReadableStream) {
  const chunks: Buffer[] = []
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  const bytes = () => Buffer.concat(chunks)
  return { bytes, text: () => bytes().toString() }
}

// The command may end without reading its input.
function ignoreClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE' && error.code !== 'ECONNRESET') throw error
}

/** The result, if it is one of success; an error that shows stderr otherwise. */
export function expectSuccess(result: Result): Result {
  if (result.status === 0) return result
  const ended = result.signal ?? `status ${result.status}`
  throw new Error(`ended with ${ended}: ${result.stderr}${result.stdout}`)
}
