// The jobs that the prolog announced and the epilog ended on this node: one small JSON file a job in a root-only directory.
//
// INVARIANTS
// - A file is whole or absent: written beside, renamed over. The files are the truth across restarts; memory mirrors them.
// - An ended job stays known (hasEnded) until it is announced again (requeue), forgotten, or many later jobs have ended.
import { randomBytes } from 'node:crypto'
import {
  closeSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { systemClock, type Clock } from '../base/clock.js'
import { HepwrapError, quote } from '../base/errors.js'
import { parseJobId, type JobId } from '../base/ids.js'
import type { JobFacts } from '../wire/job-api.js'

/** How many ended jobs are remembered, so that a late run of one is refused. */
const KEPT_ENDED = 1024

const TEMPORARY = /^\.[0-9]+\.[0-9a-f]{16}$/

export interface AnnouncedJob {
  readonly facts: JobFacts
  readonly announcedAtMs: number
  /** Undefined while the job runs on this node. */
  readonly endedAtMs: number | undefined
}

export interface JobTable {
  /** Durable on return. A job announced again (requeue) begins anew. */
  announce(facts: JobFacts): void
  /** The facts of a job that is announced and has not ended. */
  find(jobId: JobId): JobFacts | undefined
  /** Each life of a requeued job has a SLUID of its own (slurm job_record_set_sluid): an earlier one is not found. */
  findBySluid(sluid: string): JobFacts | undefined
  /** Remembers the end, also of a job that was never announced; what is known of it. Durable on return. */
  end(jobId: JobId): JobFacts
  hasEnded(jobId: JobId): boolean
  /** For a job of which nothing is left on this node: its id then means another life of it (requeue). */
  forget(jobId: JobId): void
  /** Every job known, ended ones too, by job id. */
  list(): readonly AnnouncedJob[]
}

export interface JobTableOptions {
  readonly clock?: Clock
  /** Told of each file that is left out. */
  readonly warn?: (message: string) => void
}

/** Opens the table, made with mode 0700 if need be; throws HW_CONFIG_INVALID if others could write there. */
export function createJobTable(directory: string, options: JobTableOptions = {}): JobTable {
  const { clock = systemClock, warn = () => undefined } = options
  ensurePrivateDirectory(directory)
  const jobs = readTable(directory, warn)

  const put = (job: AnnouncedJob) => {
    writeJob(directory, job)
    jobs.set(job.facts.job_id, job)
  }
  const running = (matches: (facts: JobFacts) => boolean) =>
    [...jobs.values()].find((job) => job.endedAtMs === undefined && matches(job.facts))?.facts

  return {
    announce: (facts) => {
      put({ facts, announcedAtMs: clock.nowMs(), endedAtMs: undefined })
    },
    find: (jobId) => {
      const job = jobs.get(jobId)
      return job?.endedAtMs === undefined ? job?.facts : undefined
    },
    findBySluid: (sluid) => running((facts) => facts.sluid === sluid),
    end: (jobId) => {
      const nowMs = clock.nowMs()
      const known = jobs.get(jobId) ?? { facts: { job_id: jobId }, announcedAtMs: nowMs }
      put({ ...known, endedAtMs: nowMs })
      forgetOldest(directory, jobs)
      return known.facts
    },
    hasEnded: (jobId) => jobs.get(jobId)?.endedAtMs !== undefined,
    forget: (jobId) => {
      rmSync(fileOf(directory, jobId), { force: true })
      jobs.delete(jobId)
    },
    list: () => [...jobs.values()].sort((a, b) => a.facts.job_id - b.facts.job_id),
  }
}

function ensurePrivateDirectory(directory: string): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const stat = lstatSync(directory)
  if (!stat.isDirectory() || stat.uid !== process.geteuid?.() || (stat.mode & 0o022) !== 0) {
    throw new HepwrapError(
      'HW_CONFIG_INVALID',
      `${quote(directory)} is not a directory of root's own`,
    )
  }
}

function readTable(directory: string, warn: (message: string) => void): Map<number, AnnouncedJob> {
  const jobs = new Map<number, AnnouncedJob>()
  for (const name of readdirSync(directory)) {
    if (TEMPORARY.test(name)) {
      rmSync(join(directory, name), { force: true }) // a crash between write and rename
      continue
    }
    const jobId = name.endsWith('.json') ? parseJobId(name.slice(0, -'.json'.length)) : undefined
    const job = jobId === undefined ? undefined : readJob(join(directory, name), jobId)
    if (job === undefined) warn(`job table: ${quote(name)} is left out`)
    else jobs.set(job.facts.job_id, job)
  }
  return jobs
}

/** Only the shape is checked: root wrote it, but a crash or another version may have spoilt it. */
function readJob(path: string, jobId: JobId): AnnouncedJob | undefined {
  try {
    const read: unknown = JSON.parse(readFileSync(path, 'utf8'))
    if (!isRecord(read) || !isRecord(read['facts']) || read['facts']['job_id'] !== jobId)
      return undefined
    const { announcedAtMs, endedAtMs } = read
    if (typeof announcedAtMs !== 'number') return undefined
    if (endedAtMs !== undefined && typeof endedAtMs !== 'number') return undefined
    // announce() took a JobFacts, which the route had validated
    return { facts: read['facts'] as unknown as JobFacts, announcedAtMs, endedAtMs }
  } catch {
    return undefined
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function writeJob(directory: string, job: AnnouncedJob): void {
  const temporary = join(directory, `.${job.facts.job_id}.${randomBytes(8).toString('hex')}`)
  try {
    const fd = openSync(temporary, 'wx', 0o600)
    try {
      writeFileSync(fd, JSON.stringify(job))
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    renameSync(temporary, fileOf(directory, job.facts.job_id))
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
}

function forgetOldest(directory: string, jobs: Map<number, AnnouncedJob>): void {
  const ended = [...jobs.values()].filter((job) => job.endedAtMs !== undefined)
  if (ended.length <= KEPT_ENDED) return
  ended.sort((a, b) => (a.endedAtMs ?? 0) - (b.endedAtMs ?? 0))
  for (const { facts } of ended.slice(0, ended.length - KEPT_ENDED)) {
    rmSync(fileOf(directory, facts.job_id), { force: true })
    jobs.delete(facts.job_id)
  }
}

const fileOf = (directory: string, jobId: number) => join(directory, `${jobId}.json`)
