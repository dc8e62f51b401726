// `hepwrap configure` (prolog) announces the job in SLURM_* to the daemon, `hepwrap clean` (epilog) ends it.
import { HepwrapError, quote } from '../base/errors.js'
import { parseJobId, type JobId } from '../base/ids.js'
import type { JobCleaned, JobFacts } from '../wire/job-api.js'
import { askDaemon } from './daemon-api.js'
import { printHelp } from './help.js'
import { print } from './print.js'
import { say } from './say.js'
import { parseVerbLine, refuseOperands } from './verb-line.js'

type Environment = Readonly<Record<string, string | undefined>>

export async function configure(
  args: readonly string[],
  config: string | undefined,
): Promise<number> {
  const line = await parseVerbLine(args, config, [])
  if (line.help) return printHelp('configure')
  refuseOperands('configure', line)
  const facts = parseJobFacts(process.env)
  await askDaemon(line.socketPath, 'PUT', `/v1/jobs/${facts.job_id}`, facts)
  return 0
}

/**
 * Says "alive ID..." on stdout and ends with 1 where containers of the job could not be ended: the word lets the
 * epilog tell this from every other failure, for which a node must not be drained.
 */
export async function clean(args: readonly string[], config: string | undefined): Promise<number> {
  const line = await parseVerbLine(args, config, [])
  if (line.help) return printHelp('clean')
  refuseOperands('clean', line)
  const jobId = readJobId(process.env)
  const { alive } = await askDaemon<JobCleaned>(line.socketPath, 'DELETE', `/v1/jobs/${jobId}`)
  if (alive.length === 0) return 0
  await print(`alive ${alive.join(' ')}\n`)
  say(`${alive.length} container(s) of job ${jobId} could not be ended`, 'HW_ENGINE_FAILED')
  return 1
}

/** What there is of the job in Slurm's variables; a malformed one beside the job's id is left out. */
export function parseJobFacts(environment: Environment): JobFacts {
  const text = (...names: readonly string[]) => firstValid(environment, names, parseWord)
  const count = (...names: readonly string[]) => firstValid(environment, names, parseCount)
  return dropUndefined({
    job_id: readJobId(environment),
    uid: count('SLURM_JOB_UID'),
    user: text('SLURM_JOB_USER'),
    account: text('SLURM_JOB_ACCOUNT'),
    partition: text('SLURM_JOB_PARTITION'),
    array_job_id: count('SLURM_ARRAY_JOB_ID'),
    array_task_id: count('SLURM_ARRAY_TASK_ID'),
    het_offset: count('SLURM_HET_JOB_OFFSET', 'SLURM_PACK_JOB_OFFSET'),
    restart_count: count('SLURM_JOB_RESTART_COUNT', 'SLURM_RESTART_COUNT'),
    sluid: text('SLURM_JOB_SLUID'),
    gres: gresOf(environment),
    end_time: count('SLURM_JOB_END_TIME'),
    node_name: text('SLURMD_NODENAME'),
  })
}

function readJobId(environment: Environment): JobId {
  const text = environment['SLURM_JOB_ID']
  if (text === undefined) {
    throw new HepwrapError('HW_USAGE', 'SLURM_JOB_ID is not set: this is for the prolog and epilog')
  }
  const jobId = parseJobId(text)
  if (jobId !== undefined) return jobId
  throw new HepwrapError('HW_USAGE', `SLURM_JOB_ID ${quote(text)} is not the id of a job`)
}

/** The prolog is told of GPUs only, and only by their indices: "gpu:0,1". */
function gresOf(environment: Environment): string | undefined {
  const named = firstValid(environment, ['SLURM_JOB_GRES'], parseWord)
  const gpus = firstValid(environment, ['SLURM_JOB_GPUS'], parseWord)
  return named ?? (gpus === undefined ? undefined : `gpu:${gpus}`)
}

const firstValid = <Value>(
  environment: Environment,
  names: readonly string[],
  parse: (text: string) => Value | undefined,
): Value | undefined => {
  for (const name of names) {
    const value = parse(environment[name] ?? '')
    if (value !== undefined) return value
  }
  return undefined
}

const parseWord = (text: string) =>
  /^[^\u0000-\u001f\u007f]{1,1024}$/.test(text) ? text : undefined

/** 4294967294 and …95 are Slurm's NO_VAL and INFINITE. */
const parseCount = (text: string) =>
  /^\d{1,10}$/.test(text) && Number(text) < 0xfffffffe ? Number(text) : undefined

type Defined<T> = { [Key in keyof T]: Exclude<T[Key], undefined> }

const dropUndefined = <T extends object>(facts: T): Defined<T> =>
  Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined)) as Defined<T>
