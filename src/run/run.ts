// The spine: one run from the caller's request to the closed record, read from top to bottom.
//   caller → job → plan → policy → ledger (admit) → image → place → stage → create → start → gate → pump → wait → usage → close
// Whatever happens, what was made is undone by run id, and the record is closed once with what is known.
import { setTimeout as wait } from 'node:timers/promises'
import type { RecordChange } from '../accounting/record.js'
import { rfc3339 } from '../base/clock.js'
import { asHepwrapError, HepwrapError, REASONS } from '../base/errors.js'
import { newRunId, type RunId } from '../base/ids.js'
import type { Usage } from '../cgroup/usage.js'
import { isCallerAlive } from '../identity/caller.js'
import type { RunPlan } from '../plan/run-plan.js'
import type { RunClose } from '../wire/run-api.js'
import { admit, type Admission } from './admit.js'
import { abortable } from '../base/abortable.js'
import { killable } from './killable.js'
import { rehearse } from './dry-run.js'
import { launch, type Launch } from './launch.js'
import { CLIENT_GONE, type LiveRun } from './live-runs.js'
import { newestOnly } from './newest-only.js'
import { readyImage } from './ready-image.js'
import {
  closeOf,
  outcomeOf,
  stateOfEnding,
  type EndFacts,
  type Outcome,
  withOwnOomKills,
} from './outcome.js'
import type { RunClient, RunDeps } from './run-deps.js'
import { usageFields } from './run-record.js'
import { startStopwatch, type Stopwatch } from './stopwatch.js'
import { pumpOutput } from './streams.js'
import { drainOutput, supervise } from './supervise.js'
import {
  closePlacement,
  removeContainer,
  removeRunDirectory,
  runDirectory,
  undoDeps,
  undoRun,
} from './undo.js'

/** How long a process that is no longer itself may take to be dead. */
const DYING_MS = 500
const LOOK_MS = 10

export async function run(client: RunClient, deps: RunDeps): Promise<RunClose> {
  if (client.request.dry_run === true) return rehearse(client, deps)
  const runId = newRunId()
  const watch = startStopwatch(deps.clock, (name, ms) => {
    if (client.request.verbose) client.event({ kind: 'step', name, ms })
  })
  let admission: Admission
  try {
    admission = await admit(runId, client.caller, client.request, deps)
  } catch (thrown) {
    return closeOf(runId, asHepwrapError(thrown))
  }
  watch.lap('admit')
  const { live } = admission
  bindClient(client, live, admission, deps)
  client.event({ kind: 'opened', run_id: runId })
  try {
    return await execute(admission, client, live, watch, deps)
  } catch (thrown) {
    return await abandon(admission, live, asHepwrapError(thrown), deps)
  } finally {
    live.close()
  }
}

/** Signals and the end of the connection count from the first moment, long before there is a container. */
function bindClient(
  client: RunClient,
  live: LiveRun,
  { plan }: Admission,
  { config }: RunDeps,
): void {
  // Nobody waits for it any more, and its step may be gone: no user's --stop-timeout outlasts the site's.
  const graceMs = Math.min(plan.stopTimeoutMs, config.node.stop_timeout_s * 1000)
  const leave = () => live.end({ ...CLIENT_GONE, graceMs })
  if (client.gone.aborted) leave()
  else client.gone.addEventListener('abort', leave, { once: true })
  client.onSignal((signal) => live.forward(signal))
}

async function execute(
  admission: Admission,
  client: RunClient,
  live: LiveRun,
  watch: Stopwatch,
  deps: RunDeps,
): Promise<RunClose> {
  const { plan, placement } = admission
  const { runId } = plan
  const { image, isPulled } = await readyImage(admission, client, deps)
  watch.lap('image')
  const engine = await deps.engineFacts()
  deps.ledger.change(runId, {
    image_id: image.id,
    image_digest: image.digest ?? null,
    engine: engine.name,
    engine_version: engine.version,
    pull_ms: isPulled ? Math.round(watch.parts['image'] ?? 0) : null,
  })
  watch.lap('record')
  const asksWorkdir = client.request.workdir !== undefined
  const started = await launch({ admission, image, asksWorkdir, live, watch, deps })
  const pump = pumpOutput(started.stdio, client.output, plan.tty)
  await connectTerminal(client, started, { plan, live, deps })
  const startedAtMs = deps.clock.nowMs()
  const setupMs = Math.round(watch.totalMs() - (isPulled ? (watch.parts['image'] ?? 0) : 0))
  deps.ledger.change(runId, { started_at: rfc3339(startedAtMs), setup_ms: setupMs })
  watch.lap('ledger')
  logStart(admission, watch, setupMs, deps)
  deps.tally.launched(watch.parts, watch.totalMs())
  live.ending.throwIfAborted() // called off meanwhile: then no instruction of it runs
  started.init.go(plan.caller.umask, started.workdir)

  const { report, wasSignaled } = await supervise(
    killable(started.init, placement, deps.log),
    pump,
    live,
    deps.engine,
    plan.stopTimeoutMs,
  )
  const isAsked = wasSignaled || live.endingAs !== undefined
  const usage = withOwnOomKills(await closePlacement(placement, deps), report, isAsked)
  const endedAtMs = deps.clock.nowMs()
  await drainOutput(pump, client.gone, deps.log)
  started.stdio.destroy()
  await removeContainer(runId, undoDeps(deps))
  removeRunDirectory(runDirectory(deps.config.node.run_dir, runId), deps.log)
  const outcome = outcomeOf({
    report,
    ending: live.endingAs,
    oomKills: usage?.oomKills,
    wasSignaled,
    timeIsUp: hasTimeLimitPassed(admission, endedAtMs),
    program: started.spec.argv[1] ?? '',
    workdir: started.workdir,
  } satisfies EndFacts)
  closeRecord(plan, outcome, usage, endedAtMs, deps)
  return closeOfOutcome(runId, outcome)
}

type TerminalSize = NonNullable<RunPlan['terminal']>

/** The command sees the right size from its first instruction; sizes are set one at a time, so that the last one stays. */
async function connectTerminal(
  client: RunClient,
  { containerId, stdio, started }: Launch,
  { plan, live, deps }: { plan: RunPlan; live: LiveRun; deps: RunDeps },
): Promise<void> {
  if (plan.interactive) client.stdinTo(stdio)
  if (!plan.tty) return
  const resize = newestOnly(async ({ rows, columns }: TerminalSize) => {
    try {
      await started // the engine resizes only what it knows to run
      await deps.engine.resize(containerId, rows, columns)
    } catch {
      return // the container may have ended
    }
  })
  client.onResize((rows, columns) => void resize({ rows, columns }))
  if (plan.terminal !== undefined) await abortable(resize(plan.terminal), live.ending)
}

/** A launch that failed or was called off before its command began. */
async function abandon(
  { plan, placement }: Admission,
  live: LiveRun,
  thrown: HepwrapError,
  deps: RunDeps,
): Promise<RunClose> {
  const { runId } = plan
  if (await isClientDead(live, thrown)) live.end({ ...CLIENT_GONE, graceMs: 0 })
  const ending = live.endingAs
  const error = ending === undefined ? thrown : new HepwrapError(ending.code, ending.message)
  if (ending === undefined) deps.tally.refused(error.code)
  const usage = await undoRun(runId, placement, undoDeps(deps))
  const { http, exit: ownExit } = REASONS[error.code]
  const exit = ending?.signal === undefined ? ownExit : 128 + ending.signal
  const outcome: Outcome = {
    state: ending !== undefined ? stateOfEnding(ending) : http >= 500 ? 'FAILED' : 'REFUSED',
    reason: error.code,
    rule: error.rule ?? null,
    exit,
    exitCode: exit,
    signal: ending?.signal ?? null,
    message: error.message,
  }
  closeRecord(plan, outcome, usage, deps.clock.nowMs(), deps)
  if (thrown.code === 'HW_INTERNAL')
    deps.log.error({ err: thrown, runId }, 'a run failed by a fault of ours')
  return { ...closeOf(runId, error), exit }
}

/** A client that has just died makes a launch fail in ways of their own, before its connection tells of it. */
async function isClientDead({ caller, ending }: LiveRun, thrown: HepwrapError): Promise<boolean> {
  // A process that is being killed is not itself any more for a moment before the kernel says that it is dead.
  if (thrown.code === 'HW_CALLER_UNKNOWN') {
    const dies = () => !isCallerAlive(caller) || ending.aborted
    for (let waitedMs = 0; waitedMs < DYING_MS && !dies(); waitedMs += LOOK_MS) await wait(LOOK_MS)
  }
  return !isCallerAlive(caller)
}

function closeRecord(
  { runId, caller }: RunPlan,
  outcome: Outcome,
  usage: Usage | undefined,
  endedAtMs: number,
  deps: RunDeps,
): void {
  const change: RecordChange = {
    state: outcome.state,
    reason: outcome.reason,
    rule: outcome.rule ?? null,
    exit_code: outcome.exitCode,
    signal: outcome.signal,
    ended_at: rfc3339(endedAtMs),
    ...usageFields(usage),
  }
  deps.tally.ended(outcome.state)
  // In the words that the caller gets: a record has only the code.
  const { message: said } = outcome
  deps.log.info(
    { runId, uid: caller.uid, ...change, ...(said !== undefined && { said }) },
    'run ended',
  )
  const write = () => {
    try {
      deps.ledger.change(runId, change)
    } catch (error) {
      // A full disk must not cost a record: the row says RUNNING until it can say more.
      deps.log.error({ err: error, runId }, 'cannot close the record now; trying again')
      setTimeout(write, 5000)
    }
  }
  write()
}

function logStart({ plan }: Admission, watch: Stopwatch, setupMs: number, deps: RunDeps): void {
  deps.log.info(
    {
      runId: plan.runId,
      uid: plan.caller.uid,
      jobId: plan.job?.jobId,
      stepId: plan.job?.stepId,
      image: plan.image.text,
      setup_ms: setupMs,
      own_ms: Math.round(watch.ownMs() * 100) / 100,
      parts: watch.parts,
    },
    'run started',
  )
}

const hasTimeLimitPassed = ({ plan }: Admission, nowMs: number): boolean => {
  const endTime = plan.jobFacts?.end_time
  return endTime !== undefined && endTime > 0 && nowMs >= endTime * 1000
}

function closeOfOutcome(runId: RunId, { exit, reason, message }: Outcome): RunClose {
  return message === undefined || reason === null
    ? { run_id: runId, exit }
    : { run_id: runId, exit, code: reason, message }
}
