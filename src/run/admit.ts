// The first half of a run: caller → job → plan → policy → ledger. A refusal is recorded like a run, closed from the start.
import { asHepwrapError, HepwrapError, REASONS } from '../base/errors.js'
import { rfc3339 } from '../base/clock.js'
import type { JobId, RunId } from '../base/ids.js'
import { readJobLimits } from '../cgroup/limits.js'
import { planPlacement, type Placement } from '../cgroup/placement.js'
import type { Caller } from '../identity/caller.js'
import { lookupGroup, lookupUser } from '../kernel/accounts.js'
import { makePlan } from '../plan/make-plan.js'
import type { RunPlan } from '../plan/run-plan.js'
import { enforce } from '../policy/policy.js'
import { readCgroups } from '../proc/cgroup-of.js'
import { readRlimits } from '../proc/rlimits.js'
import { jobOf, type JobRef } from '../slurm/job-of.js'
import type { JobFacts } from '../wire/job-api.js'
import type { RunRequest } from '../wire/run-api.js'
import type { UsageRecord } from '../wire/usage-api.js'
import type { RunDeps } from './run-deps.js'
import { draftRecord, type DraftFacts } from './run-record.js'

export interface Admission {
  readonly plan: RunPlan
  readonly placement: Placement
  readonly record: UsageRecord
}

/** Throws a HepwrapError for every refusal, after it has been recorded. Once it returns, the ledger has the run. */
export async function admit(
  runId: RunId,
  caller: Caller,
  request: RunRequest,
  deps: RunDeps,
): Promise<Admission> {
  let draft = await startDraft(runId, caller, request, deps)
  try {
    const job = jobOf(caller, { roots: deps.cgroupRoots })
    const jobFacts = job === undefined ? undefined : factsOf(job, deps)
    draft = { ...draft, job, jobFacts }
    const cgroup = job?.cgroup ?? readCgroups(caller.pid)
    draft = { ...draft, jobLimits: readJobLimits(cgroup, deps.cgroupRoots) }
    const { jobLimits } = draft
    const rlimits = readRlimits(caller.pid)
    const { config } = deps
    const plan = makePlan({ runId, request, caller, job, jobFacts, jobLimits, rlimits, config })
    enforce(plan, config)
    refuseWhereClosed(plan, deps)
    const placement = planPlacement(cgroup, runId, deps.cgroupRoots)
    const record = draftRecord(draft)
    deps.ledger.open(record, { placement })
    return { plan, placement, record }
  } catch (thrown) {
    const error = asHepwrapError(thrown)
    recordRefusal(draft, error, deps)
    throw error
  }
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
  { config, clock }: RunDeps,
): Promise<DraftFacts> {
  const [user, groupName] = await Promise.all([lookupUser(caller.uid), lookupGroup(caller.gid)])
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

function factsOf({ jobId, sluid }: JobRef, { jobs }: RunDeps): JobFacts | undefined {
  if (jobId !== undefined) return jobs.find(jobId)
  return sluid === undefined ? undefined : jobs.findBySluid(sluid)
}

function refuseWhereClosed({ caller, job, jobFacts }: RunPlan, deps: RunDeps): void {
  if (deps.isStopping()) throw new HepwrapError('HW_DAEMON_STOPPING', 'hepwrapd is being stopped')
  const jobId = job?.jobId ?? (jobFacts?.job_id as JobId | undefined)
  if (jobId !== undefined && deps.jobs.hasEnded(jobId))
    throw new HepwrapError('HW_JOB_ENDED', `job ${jobId} has been ended on this node`)
  const ceiling = deps.config.limits.runs_per_user
  if (deps.live.countOf(caller.uid) >= ceiling)
    throw new HepwrapError(
      'HW_TOO_MANY_RUNS',
      `uid ${caller.uid} has ${ceiling} containers on this node already`,
    )
}

function recordRefusal(
  draft: DraftFacts,
  error: HepwrapError,
  { ledger, clock, log, refusals }: RunDeps,
): void {
  const state = REASONS[error.code].http >= 500 ? 'FAILED' : 'REFUSED'
  log.info(
    {
      runId: draft.runId,
      uid: draft.caller.uid,
      pid: draft.caller.pid,
      jobId: draft.job?.jobId,
      code: error.code,
      state,
    },
    `refused: ${error.message}`,
  )
  if (error.code === 'HW_INTERNAL') log.error({ err: error, runId: draft.runId }, 'a fault of ours')
  const budget = refusals.spend(draft.caller.uid)
  if (budget === 'last')
    log.warn({ uid: draft.caller.uid }, 'further refusals of this user are not recorded this hour')
  if (budget === 'spent') return
  try {
    ledger.open({
      ...draftRecord(draft),
      state,
      reason: error.code,
      exit_code: REASONS[error.code].exit,
      ended_at: rfc3339(clock.nowMs()),
    })
  } catch (unwritten) {
    log.error({ err: unwritten, runId: draft.runId }, 'a refusal could not be recorded')
  }
}
