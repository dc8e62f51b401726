// How a run ended, in sacct's words and in an exit status: one pure function, so that all endings are told alike.
import { constants } from 'node:os'
import { quote, REASONS, type HepwrapError, type ReasonCode } from '../base/errors.js'
import type { RunId } from '../base/ids.js'
import type { Usage } from '../cgroup/usage.js'
import type { RunClose } from '../wire/run-api.js'
import type { RecordState } from '../wire/usage-api.js'
import type { InitReport } from './gate.js'
import type { Ending } from './live-runs.js'

const { SIGKILL } = constants.signals

export interface EndFacts {
  readonly report: InitReport
  /** Who asked for the end, if anybody. */
  readonly ending: Ending | undefined
  readonly oomKills: number | undefined
  /** The client forwarded a signal that usually ends a program. */
  readonly wasSignaled: boolean
  /** The job's time limit has passed. */
  readonly timeIsUp: boolean
  /** argv[0] and the working directory, for messages. */
  readonly program: string
  readonly workdir: string
}

export interface Outcome {
  readonly state: RecordState
  readonly reason: ReasonCode | null
  /** What of the site refused it. */
  readonly rule?: string | null
  /** The exit status of `hepwrap run`. */
  readonly exit: number
  readonly exitCode: number | null
  readonly signal: number | null
  /** What the client prints; undefined where the command's own status says it all. */
  readonly message: string | undefined
}

export function outcomeOf(facts: EndFacts): Outcome {
  const { report, ending } = facts
  if (report.kind === 'failed')
    return report.step === 'exec'
      ? execFailed(facts, report.errno)
      : chdirFailed(facts, report.errno)
  const status = statusOf(report)
  const oomKills = facts.oomKills ?? 0
  if (oomKills > 0) return outOfMemory(status, oomKills)
  if (facts.timeIsUp && wasEnded(facts, status))
    return { ...status, state: 'TIMEOUT', reason: 'HW_TIME_LIMIT', message: ending?.message }
  return ending === undefined
    ? ended(status, facts.wasSignaled || report.kind === 'killed')
    : endedOnRequest(status, ending)
}

/**
 * Of runs that share a leaf the kernel says only that something there was killed: then one that died of a SIGKILL which
 * nobody had asked for has lost a process, at least; of the others it is not known.
 */
export function withOwnOomKills(
  usage: Usage | undefined,
  report: InitReport,
  isAsked: boolean,
): Usage | undefined {
  if (usage?.oomKillsOfSomebody === undefined) return usage
  const isKilled =
    report.kind === 'killed' ||
    (report.kind === 'signaled' && report.signal === SIGKILL) ||
    (report.kind === 'exited' && report.status === 128 + SIGKILL) // as a shell says of its command
  return { ...usage, oomKills: isKilled && !isAsked ? 1 : undefined }
}

/** Slurm ends a job at its limit by signals; the limit that the prolog knew may have been extended since. */
const wasEnded = ({ ending, wasSignaled }: EndFacts, { exit, signal }: Status): boolean =>
  ending !== undefined || signal !== null || (wasSignaled && exit !== 0)

/** SIGKILL of PID 1 comes from outside its namespace: Slurm's end of the step, root, or the user himself on the host. */
function ended(status: Status, isCancelled: boolean): Outcome {
  if (status.exit === 0) return { ...status, state: 'COMPLETED', reason: null, message: undefined }
  return {
    ...status,
    state: isCancelled ? 'CANCELLED' : 'FAILED',
    reason: status.signal === null ? null : 'HW_SIGNALED',
    message: undefined,
  }
}

type Status = Pick<Outcome, 'exit' | 'exitCode' | 'signal'>

function statusOf(report: Extract<InitReport, { kind: 'exited' | 'signaled' | 'killed' }>): Status {
  if (report.kind === 'exited')
    return { exit: report.status, exitCode: report.status, signal: null }
  const signal = report.kind === 'signaled' ? report.signal : SIGKILL
  return { exit: 128 + signal, exitCode: 128 + signal, signal }
}

function outOfMemory(status: Status, kills: number): Outcome {
  const what = kills === 1 ? 'a process' : `${kills} processes`
  const message = `the container ran out of memory: the kernel ended ${what} of it at the job's limit`
  return { ...status, state: 'OUT_OF_MEMORY', reason: 'HW_OOM_KILLED', message }
}

function endedOnRequest(status: Status, ending: Ending): Outcome {
  const state = stateOfEnding(ending)
  const isOurs = state !== 'CANCELLED'
  return {
    ...status,
    exit: isOurs ? REASONS[ending.code].exit : status.exit,
    state,
    reason: ending.code,
    message: ending.message,
  }
}

/** What the node did to a run is NODE_FAIL; what the engine did, FAILED; everything else was somebody's wish. */
export function stateOfEnding({ code }: Ending): RecordState {
  if (code === 'HW_DAEMON_STOPPING' || code === 'HW_DAEMON_RESTARTED') return 'NODE_FAIL'
  return code.startsWith('HW_ENGINE') ? 'FAILED' : 'CANCELLED'
}

function execFailed({ program }: EndFacts, errno: number): Outcome {
  const { ENOENT, ENOTDIR } = constants.errno
  const code: ReasonCode =
    errno === ENOENT || errno === ENOTDIR ? 'HW_COMMAND_NOT_FOUND' : 'HW_COMMAND_NOT_EXECUTABLE'
  const { exit } = REASONS[code]
  const text =
    code === 'HW_COMMAND_NOT_FOUND'
      ? `command ${quote(program)} is not in the image`
      : `command ${quote(program)} cannot be executed: ${errnoText(errno)}`
  return { state: 'FAILED', reason: code, exit, exitCode: exit, signal: null, message: text }
}

function chdirFailed({ workdir }: EndFacts, errno: number): Outcome {
  const { exit } = REASONS.HW_WORKDIR
  return {
    state: 'FAILED',
    reason: 'HW_WORKDIR',
    exit,
    exitCode: exit,
    signal: null,
    message: `cannot enter working directory ${quote(workdir)} in the container: ${errnoText(errno)}`,
  }
}

const ERRNO_TEXT: Readonly<Record<number, string>> = {
  [constants.errno.ENOENT]: 'no such file or directory',
  [constants.errno.EACCES]: 'permission denied',
  [constants.errno.EPERM]: 'operation not permitted',
  [constants.errno.ENOTDIR]: 'not a directory',
  [constants.errno.EISDIR]: 'is a directory',
  [constants.errno.ENOEXEC]: 'exec format error',
  [constants.errno.E2BIG]: 'argument list too long',
  [constants.errno.ELOOP]: 'too many symbolic links',
  [constants.errno.ENOMEM]: 'out of memory',
  [constants.errno.EAGAIN]: 'no more processes allowed',
  [constants.errno.ETXTBSY]: 'file is being written',
}

const errnoText = (errno: number): string => ERRNO_TEXT[errno] ?? `error ${errno}`

/** What broke inside is for the node's log, not for the caller. */
export const closeOf = (runId: RunId | undefined, { code, message }: HepwrapError): RunClose => ({
  ...(runId !== undefined && { run_id: runId }),
  exit: REASONS[code].exit,
  code,
  message: code === 'HW_INTERNAL' ? 'hepwrapd failed; the log on the node says how' : message,
})
