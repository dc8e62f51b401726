// The runs that are alive in this daemon, and how each is told to end. No run is ended but through here.
// INVARIANTS: the first reason to end wins; `ended` resolves once, after nothing of the run is left.
import { constants } from 'node:os'
import { HepwrapError, type ReasonCode } from '../base/errors.js'
import type { JobId, RunId } from '../base/ids.js'
import { isCallerAlive, type Caller } from '../identity/caller.js'

/** Why a run is being ended, and how long its command may take after SIGTERM. */
export interface Ending {
  readonly code: ReasonCode
  readonly message: string
  readonly graceMs: number
  /** The signal that asked for it, where one did: exit status 128+n. */
  readonly signal?: number
}

export interface LiveRun {
  readonly runId: RunId
  readonly caller: Caller
  readonly jobId: JobId | undefined
  /** Aborted with a HepwrapError once somebody has asked for the end. */
  readonly ending: AbortSignal
  readonly endingAs: Ending | undefined
  /** What the command gets; set by the run once its init can take signals, and called at once for what came before. */
  deliverBy(deliver: (signal: number) => void): void
  forward(signal: number): void
  end(ending: Ending): void
  /** SIGKILL at once, whoever asked for the end before and with whatever grace. */
  killNow(): void
  /** Resolves when the run has undone everything. */
  readonly ended: Promise<void>
  close(): void
}

export interface LiveRuns {
  add(run: { runId: RunId; caller: Caller; jobId: JobId | undefined }): LiveRun
  /** Keeps a container of ours that is no run (doctor's probe) from being taken for an orphan. */
  hold(runId: RunId): { release(): void }
  /** Reports whether somebody in this daemon holds the container of this run. */
  isHeld(runId: string): boolean
  all(): readonly LiveRun[]
  ofJob(jobId: JobId): readonly LiveRun[]
  countOf(uid: number): number
  countOfJob(jobId: JobId): number
  /** Ends every run whose caller is dead: the second net, for a connection that outlives the process that made it. */
  endOrphans(): void
}

const { SIGTERM, SIGKILL, SIGINT, SIGHUP, SIGQUIT } = constants.signals
/** Signals that usually end a program; before there is one, they end the run. */
export const ENDING_SIGNALS: ReadonlySet<number> = new Set([
  SIGTERM,
  SIGKILL,
  SIGINT,
  SIGHUP,
  SIGQUIT,
])
const MAX_EARLY_SIGNALS = 64

const signaledEarly = (signal: number): Ending => ({
  code: 'HW_SIGNALED',
  message: `ended by signal ${signal} before the command began`,
  graceMs: 0,
  signal,
})

export const CLIENT_GONE: Omit<Ending, 'graceMs'> = {
  code: 'HW_CLIENT_GONE',
  message: 'the client is gone',
}

/** `graceMs`: what a command is given whose client died. */
export function createLiveRuns(graceMs: number): LiveRuns {
  const runs = new Map<RunId, LiveRun>()
  const held = new Set<string>()
  const all = () => [...runs.values()]

  return {
    add: (facts) => {
      const run = createLiveRun(facts, () => runs.delete(facts.runId))
      runs.set(facts.runId, run)
      return run
    },
    hold: (runId) => {
      held.add(runId)
      return { release: () => void held.delete(runId) }
    },
    isHeld: (runId) => runs.has(runId as RunId) || held.has(runId),
    all,
    ofJob: (jobId) => all().filter((run) => run.jobId === jobId),
    countOfJob: (jobId) => all().filter((run) => run.jobId === jobId).length,
    countOf: (uid) => all().filter((run) => run.caller.uid === uid).length,
    endOrphans: () => {
      for (const run of runs.values())
        if (!isCallerAlive(run.caller)) run.end({ ...CLIENT_GONE, graceMs })
    },
  }
}

function createLiveRun(
  facts: { runId: RunId; caller: Caller; jobId: JobId | undefined },
  forget: () => void,
): LiveRun {
  const abort = new AbortController()
  const early: number[] = []
  let endingAs: Ending | undefined
  let deliver: ((signal: number) => void) | undefined
  let isKilled = false
  let resolveEnded: () => void = () => undefined
  const ended = new Promise<void>((resolve) => (resolveEnded = resolve))
  const end = (ending: Ending) => {
    if (endingAs !== undefined) return
    endingAs = ending
    abort.abort(new HepwrapError(ending.code, ending.message))
  }

  return {
    ...facts,
    ending: abort.signal,
    ended,
    get endingAs() {
      return endingAs
    },
    deliverBy: (deliverNow) => {
      deliver = deliverNow
      for (const signal of early.splice(0)) deliverNow(signal)
      if (isKilled) deliverNow(SIGKILL)
    },
    forward: (signal) => {
      if (deliver !== undefined) deliver(signal)
      else if (ENDING_SIGNALS.has(signal)) end(signaledEarly(signal))
      else if (early.length < MAX_EARLY_SIGNALS) early.push(signal)
    },
    end,
    killNow: () => {
      isKilled = true // for a command that is just about to begin, too
      deliver?.(SIGKILL)
    },
    close: () => {
      forget()
      resolveEnded()
    },
  }
}
