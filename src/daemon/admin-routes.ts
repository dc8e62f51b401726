// What only root may ask: the prolog's word about a job, the epilog's end of it, and the doctor.
import type { FastifyPluginAsync, FastifyRequest } from 'fastify'
import { Type } from '@sinclair/typebox'
import { HepwrapError, quote } from '../base/errors.js'
import { parseJobId, type JobId } from '../base/ids.js'
import { removeJobDirectories } from '../cgroup/remove.js'
import type { LiveRun } from '../run/live-runs.js'
import { JobFacts, type DoctorCheck, type JobCleaned } from '../wire/job-api.js'
import type { Daemon } from './compose.js'
import { examine } from './doctor.js'

const ByJob = Type.Object({ job_id: Type.String({ maxLength: 16 }) })

/** Longer than the kernel takes to kill anything but a process in uninterruptible sleep; shorter than the epilog's time-out. */
const CLEAN_WAIT_MS = 20_000

export const adminRoutes =
  (daemon: Daemon): FastifyPluginAsync =>
  async (app) => {
    app.addHook('onRequest', requireRoot)
    app.put<{ Params: { job_id: string }; Body: JobFacts }>(
      '/v1/jobs/:job_id',
      { schema: { params: ByJob, body: JobFacts } },
      async ({ params, body }) => configureJob(jobIdOf(params.job_id), body, daemon),
    )
    app.delete<{ Params: { job_id: string } }>(
      '/v1/jobs/:job_id',
      { schema: { params: ByJob } },
      async ({ params }) => cleanJob(jobIdOf(params.job_id), daemon),
    )
    app.get('/v1/metrics', async (_request, reply) =>
      reply.type(daemon.meters.contentType).send(await daemon.meters.render()),
    )
    app.get('/v1/doctor', async (): Promise<readonly DoctorCheck[]> => examine(daemon))
  }

/** Before the body is read: nobody else makes the daemon keep one. */
export const requireRoot = async ({ caller }: Pick<FastifyRequest, 'caller'>): Promise<void> => {
  if (caller.uid !== 0) throw new HepwrapError('HW_ROOT_ONLY', `uid ${caller.uid} may not do this`)
}

function jobIdOf(text: string): JobId {
  const jobId = parseJobId(text)
  if (jobId === undefined) throw new HepwrapError('HW_USAGE', `${quote(text)} is not a job id`)
  return jobId
}

/** A requeued job keeps its id: what its first life left is ended before the second begins. */
async function configureJob(jobId: JobId, facts: JobFacts, daemon: Daemon): Promise<JobCleaned> {
  if (facts.job_id !== jobId)
    throw new HepwrapError('HW_USAGE', `the facts are of job ${facts.job_id}, not of ${jobId}`)
  const cleaned = await endRuns(daemon.live.ofJob(jobId))
  daemon.jobs.announce(facts)
  daemon.log.info({ jobId, ended: cleaned.ended }, 'job announced')
  return cleaned
}

async function cleanJob(jobId: JobId, daemon: Daemon): Promise<JobCleaned> {
  const { sluid, node_name: nodeName } = daemon.jobs.end(jobId)
  const cleaned = await endRuns(daemon.live.ofJob(jobId))
  const removed = await removeJobDirectories(jobId, daemon.cgroupRoots, { sluid, nodeName })
  // slurmd runs no second prolog for a job that is requeued within its credential's life (cred_expire, slurm.conf(5)),
  // but where no directory of the job is left, a caller in a new one is of a new life.
  if (removed && cleaned.alive.length === 0) daemon.jobs.forget(jobId)
  daemon.log.info({ jobId, ...cleaned, removed }, 'job ended')
  return cleaned
}

/** No grace: Slurm has given its own (KillWait) before the epilog runs. */
async function endRuns(runs: readonly LiveRun[]): Promise<JobCleaned> {
  const alive = new Set(runs)
  const endings = runs.map(async (run) => {
    run.end({ code: 'HW_JOB_CLEANED', message: 'the job ended on this node', graceMs: 0 })
    run.killNow()
    await run.ended
    alive.delete(run)
  })
  await Promise.race([
    Promise.all(endings),
    new Promise((resolve) => setTimeout(resolve, CLEAN_WAIT_MS).unref()),
  ])
  return { ended: runs.length - alive.size, alive: [...alive].map(({ runId }) => runId) }
}
