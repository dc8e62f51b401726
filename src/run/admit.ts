// The first half of a run: caller → job → plan → policy → ledger. A refusal is recorded like a run, closed from the start.
import { asHepwrapError, HepwrapError, REASONS } from '../base/errors.js'
import { rfc3339 } from '../base/clock.js'
import type { Logger } from '../base/log.js'
import type { JobId, RunId } from '../base/ids.js'
import { readJobLimits, type JobLimits } from '../cgroup/limits.js'
import { planPlacement, type Placement } from '../cgroup/placement.js'
import { isCallerAlive, type Caller } from '../identity/caller.js'
import { lookupGroup, lookupUser } from '../kernel/accounts.js'
import { makePlan } from '../plan/make-plan.js'
import { enforce } from '../policy/policy.js'
import { originText, type SitePolicy } from '../rules/site-policy.js'
import type { RunPlan } from '../plan/run-plan.js'
import { readCgroups, type CgroupMembership } from '../proc/cgroup-of.js'
import { readRlimits } from '../proc/rlimits.js'
import { jobOf, type JobRef } from '../slurm/job-of.js'
import type { JobFacts } from '../wire/job-api.js'
import type { RunRequest } from '../wire/run-api.js'
import type { LiveRun } from './live-runs.js'
import type { RunDeps } from './run-deps.js'
import { siteFor, subjectJob } from './site.js'
import { draftRecord, type DraftFacts } from './run-record.js'

export interface Admission {
  readonly plan: RunPlan
  readonly site: SitePolicy
  readonly placement: Placement
  readonly live: LiveRun
}

/**
 * Throws a HepwrapError for every refusal, after it has been recorded. Once it returns, the ledger has the run, and it
 * counts among the live ones: close it.
 */
export async function admit(
  runId: RunId,
  caller: Caller,
  request: RunRequest,
  deps: RunDeps,
): Promise<Admission> {
  let draft = await startDraft(runId, caller, request, deps)
  try {
    const place = placeOf(caller, deps)
    const { cgroup, ...where } = place
    draft = { ...draft, ...where }
    const { plan, site } = await planFor(runId, caller, request, place, deps)
    enforce(plan, site, deps.config)
    const placement = planPlacement(cgroup, runId, deps.cgroupRoots)
    const live = goLive(plan, site, deps)
    try {
      deps.ledger.open(draftRecord(draft), { placement })
      return { plan, site, placement, live }
    } catch (thrown) {
      live.close()
      throw thrown
    }
  } catch (thrown) {
    const error = asHepwrapError(thrown)
    recordRefusal(draft, error, deps)
    throw error
  }
}

/** Where a caller is, by his own cgroups and by what the prolog announced. */
export interface CallerPlace {
  readonly job: JobRef | undefined
  readonly jobFacts: JobFacts | undefined
  readonly cgroup: CgroupMembership
  readonly jobLimits: JobLimits
}

export function placeOf(caller: Caller, deps: RunDeps): CallerPlace {
  const job = jobOf(caller, { roots: deps.cgroupRoots })
  const jobFacts = job === undefined ? undefined : factsOf(job, deps)
  const cgroup = job?.cgroup ?? readCgroups(caller.pid)
  return { job, jobFacts, cgroup, jobLimits: readJobLimits(cgroup, deps.cgroupRoots) }
}

/** The run fully resolved, and what the site says of it; nothing is judged yet. */
export async function planFor(
  runId: RunId,
  caller: Caller,
  request: RunRequest,
  { job, jobFacts, jobLimits }: CallerPlace,
  { config }: Pick<RunDeps, 'config'>,
): Promise<{ readonly plan: RunPlan; readonly site: SitePolicy }> {
  const site = await siteFor(caller, subjectJob(job, jobFacts), config)
  const rlimits = readRlimits(caller.pid)
  // Another process's limits, or none, would be the engine's own.
  if (rlimits === undefined || !isCallerAlive(caller))
    throw new HepwrapError('HW_CALLER_UNKNOWN', `process ${caller.pid} is gone`)
  const about = { runId, caller, job, jobFacts, jobLimits, rlimits }
  return { plan: makePlan({ ...about, request, config, site }), site }
}

/** A refusal of a request that never became one (malformed, too large, too late). */
export async function refuseUnread(
  runId: RunId,
  caller: Caller,
  error: HepwrapError,
  deps: RunDeps,
): Promise<void> {
  recordRefusal(await startDraft(runId, caller, undefined, deps), error, deps)
}

async function startDraft(
  runId: RunId,
  caller: Caller,
  request: RunRequest | undefined,
  { config, clock, log }: RunDeps,
): Promise<DraftFacts> {
  const [user, groupName] = await Promise.all([
    known(lookupUser(caller.uid), log),
    known(lookupGroup(caller.gid), log),
  ])
  return {
    runId,
    cluster: config.node.cluster,
    node: config.node.name,
    caller,
    userName: user?.name,
    groupName,
    job: undefined,
    jobFacts: undefined,
    jobLimits: { memoryBytes: undefined, cpus: undefined },
    request,
    createdAtMs: clock.nowMs(),
  }
}

/** The names are for people: a directory server that is down costs no run and no record. What rules ask of it is another matter. */
async function known<T>(lookup: Promise<T | undefined>, log: Logger): Promise<T | undefined> {
  try {
    return await lookup
  } catch (error) {
    log.warn({ err: error }, 'an account cannot be looked up')
    return undefined
  }
}

function factsOf({ jobId, sluid }: JobRef, { jobs }: RunDeps): JobFacts | undefined {
  if (jobId !== undefined) return jobs.find(jobId)
  return sluid === undefined ? undefined : jobs.findBySluid(sluid)
}

/** Counted and added in one go, so that no two runs take the last place. */
function goLive(
  { runId, caller, job, jobFacts }: RunPlan,
  site: SitePolicy,
  deps: RunDeps,
): LiveRun {
  if (deps.isStopping()) throw new HepwrapError('HW_DAEMON_STOPPING', 'hepwrapd is being stopped')
  // A SLUID names the job only by way of what the prolog announced.
  const jobId = job?.jobId ?? (jobFacts?.job_id as JobId | undefined)
  if (jobId !== undefined && deps.jobs.hasEnded(jobId))
    throw new HepwrapError('HW_JOB_ENDED', `job ${jobId} has been ended on this node`)
  const refuseAbove = (who: string, count: number, { value, by }: SitePolicy['ceilings.pids']) => {
    if (count < value) return
    const text = `${who} has ${value} containers on this node already (${by.key})`
    throw new HepwrapError('HW_TOO_MANY_RUNS', text, { rule: originText(by) })
  }
  refuseAbove(`uid ${caller.uid}`, deps.live.countOf(caller.uid), site['ceilings.runs_per_user'])
  if (jobId !== undefined)
    refuseAbove(`job ${jobId}`, deps.live.countOfJob(jobId), site['ceilings.runs_per_job'])
  return deps.live.add({ runId, caller, jobId })
}

function recordRefusal(
  draft: DraftFacts,
  error: HepwrapError,
  { ledger, clock, log, refusals, tally }: RunDeps,
): void {
  const state = REASONS[error.code].http >= 500 ? 'FAILED' : 'REFUSED'
  log.info(
    {
      runId: draft.runId,
      uid: draft.caller.uid,
      callerPid: draft.caller.pid, // pid is the daemon's own in every line
      jobId: draft.job?.jobId,
      code: error.code,
      ...(error.rule !== undefined && { rule: error.rule }),
      state,
    },
    `refused: ${error.message}`,
  )
  if (error.code === 'HW_INTERNAL') log.error({ err: error, runId: draft.runId }, 'a fault of ours')
  tally.refused(error.code)
  const budget = refusals.spend(draft.caller.uid)
  if (budget === 'last')
    log.warn({ uid: draft.caller.uid }, 'further refusals of this user are not recorded this hour')
  if (budget === 'spent') return
  try {
    ledger.open({
      ...draftRecord(draft),
      state,
      reason: error.code,
      rule: error.rule ?? null,
      exit_code: REASONS[error.code].exit,
      ended_at: rfc3339(clock.nowMs()),
    })
  } catch (unwritten) {
    log.error({ err: unwritten, runId: draft.runId }, 'a refusal could not be recorded')
  }
}
