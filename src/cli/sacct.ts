// Runs sacct, as whoever asks, in an environment that changes nothing of what it prints; or reads what somebody else's
// sacct has printed.
import { execFile } from 'node:child_process'
import { accessSync, constants, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { HepwrapError, quote } from '../base/errors.js'
import { parseSacct, type SlurmJob } from '../reports/slurm-jobs.js'

export interface SacctQuestion {
  /** RFC 3339 UTC. */
  readonly since: string
  readonly until: string
  readonly cluster: string | undefined
  /** Of everybody, not of us alone. */
  readonly allUsers: boolean
}

/** A job is some 20 KB of JSON; a string of JavaScript's ends at 512 MB. */
const MAX_OUTPUT_BYTES = 256 * 1024 * 1024
const MIN_SLICE_MS = 60_000

/** All jobs of the period, once each; asked for in slices where they are too many for one answer. */
export async function askSacct(question: SacctQuestion): Promise<readonly SlurmJob[]> {
  const program = findSacct()
  const jobs = new Map<string, SlurmJob>()
  const ask = async (sinceMs: number, untilMs: number): Promise<void> => {
    const text = await runSacct(program, sacctArguments(question, sinceMs, untilMs))
    if (text === undefined) {
      if (untilMs - sinceMs < 2 * MIN_SLICE_MS)
        throw failed(`its answer for one minute is longer than ${MAX_OUTPUT_BYTES} bytes`)
      const middleMs = Math.round((sinceMs + untilMs) / 2000) * 1000
      await ask(sinceMs, middleMs)
      await ask(middleMs, untilMs)
      return
    }
    // Two slices may have the same job; a requeued one is there once for each time that it ran.
    for (const job of parseOutput(text, program))
      jobs.set(`${job.cluster}/${job.id}/${job.startMs ?? ''}`, job)
  }
  await ask(Date.parse(question.since), Date.parse(question.until))
  return [...jobs.values()]
}

/** FILE, or - for standard input. */
export function readSacct(path: string): readonly SlurmJob[] {
  try {
    return parseOutput(readFileSync(path === '-' ? 0 : path, 'utf8'), path)
  } catch (cause) {
    if (cause instanceof HepwrapError) throw cause
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new HepwrapError('HW_SACCT_FAILED', `--sacct ${quote(path)}: ${why}`, { cause })
  }
}

function parseOutput(text: string, origin: string): readonly SlurmJob[] {
  const jobs = parseSacct(text)
  if (jobs !== undefined) return jobs
  throw new HepwrapError(
    'HW_SACCT_FAILED',
    `${quote(origin)} is not what "sacct --json" writes: it begins ${quote(text.trimStart(), 60)}`,
  )
}

const PLACES = ['/usr/bin', '/usr/local/bin', '/opt/slurm/bin', '/usr/local/slurm/bin']

/** The first on the caller's PATH; nothing relative. */
function findSacct(): string {
  const path = (process.env['PATH'] ?? '').split(':').filter((place) => place.startsWith('/'))
  const found = [...path, ...PLACES].map((place) => join(place, 'sacct')).find(isProgram)
  if (found !== undefined) return found
  throw failed('there is none on the PATH')
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Whole seconds of UTC, as TZ says; the period grows by what is cut off. */
const sacctArguments = (question: SacctQuestion, sinceMs: number, untilMs: number) => [
  '--json',
  '--duplicates',
  ...(question.allUsers ? ['--allusers'] : []),
  ...(question.cluster === undefined ? [] : [`--clusters=${question.cluster}`]),
  `--starttime=${new Date(sinceMs).toISOString().slice(0, 19)}`,
  `--endtime=${new Date(Math.ceil(untilMs / 1000) * 1000).toISOString().slice(0, 19)}`,
]

/** Undefined: there is more than we can hold. */
function runSacct(program: string, args: readonly string[]): Promise<string | undefined> {
  const conf = process.env['SLURM_CONF']
  const env = {
    PATH: '/usr/bin:/bin',
    LC_ALL: 'C',
    TZ: 'UTC',
    ...(conf !== undefined && { SLURM_CONF: conf }),
  }
  return new Promise((resolve, reject) => {
    const options = { env, cwd: '/', maxBuffer: MAX_OUTPUT_BYTES, encoding: 'utf8' } as const
    execFile(program, args, options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout)
      else if (error.code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') resolve(undefined)
      else
        reject(failed(stderr.trim() === '' ? error.message : (stderr.trim().split('\n')[0] ?? '')))
    })
  })
}

const failed = (why: string) => new HepwrapError('HW_SACCT_FAILED', `sacct: ${why}`)
