// What root may ask of the site's policy: what holds for a user, and what would become of a run of his.
import type { FastifyPluginAsync } from 'fastify'
import type { Caller } from '../identity/caller.js'
import type { CallerPlace } from '../run/admit.js'
import { dryRun } from '../run/dry-run.js'
import { personOf, siteFor, subjectJob, type Person } from '../run/site.js'
import { originText, type SitePolicy } from '../rules/site-policy.js'
import { MAX_REQUEST_BYTES } from '../wire/frames.js'
import { PolicyCheck, PolicyQuery, type DryRun, type PolicyShown } from '../wire/policy-api.js'
import { requireRoot } from './admin-routes.js'
import type { Daemon } from './compose.js'

export const policyRoutes =
  (daemon: Daemon): FastifyPluginAsync =>
  async (app) => {
    app.addHook('onRequest', requireRoot)
    app.get<{ Querystring: PolicyQuery }>(
      '/v1/policy',
      { schema: { querystring: PolicyQuery } },
      async ({ query, caller }) => show(query, caller, daemon),
    )
    app.post<{ Body: PolicyCheck }>(
      '/v1/policy/check',
      { schema: { body: PolicyCheck }, bodyLimit: MAX_REQUEST_BYTES },
      async ({ body, caller }) => check(body, caller, daemon),
    )
  }

async function check(
  { as, request }: PolicyCheck,
  opener: Caller,
  daemon: Daemon,
): Promise<DryRun> {
  const person = await personOf(as.user)
  // Of the opener's process, but not with his descriptor of it, which is closed with the connection.
  const caller: Caller = { ...opener, pidfd: undefined, ...person.login }
  return dryRun({ caller, opener, place: pretendPlace(as, person), request }, daemon)
}

async function show(query: PolicyQuery, opener: Caller, daemon: Daemon): Promise<PolicyShown> {
  const person = await personOf(query.user)
  const { job, jobFacts } = pretendPlace(query, person)
  const site = await siteFor(
    { ...opener, ...person.login },
    subjectJob(job, jobFacts),
    daemon.config,
  )
  const { name, home, shell } = person.account ?? {}
  return {
    user: { name: name ?? null, ...person.login, home: home ?? null, shell: shell ?? null },
    settings: settingsOf(site),
  }
}

/** A job of this user's with this account and partition, of which nothing else is known. */
function pretendPlace({ account, partition }: PolicyQuery, { login }: Person): CallerPlace {
  const cgroup = { v1: new Map<string, string>(), v2: undefined }
  const unknown = { jobId: undefined, sluid: undefined, stepId: undefined, task: undefined }
  return {
    job: { ...unknown, cgroup },
    jobFacts: {
      job_id: 1,
      uid: login.uid,
      ...(account !== undefined && { account }), // not said is not known, as of a job without one
      partition: partition ?? '',
    },
    cgroup,
    jobLimits: { memoryBytes: undefined, cpus: undefined },
  }
}

const settingsOf = (site: SitePolicy): PolicyShown['settings'] =>
  Object.entries(site).flatMap(([key, setting]): PolicyShown['settings'] => {
    if (!('entries' in setting))
      return [{ key, value: setting.value, decided_by: originText(setting.by) }]
    const { entries, by: end } = setting
    if (entries.length === 0) return [{ key, value: null, decided_by: originText(end) }]
    return entries.map(({ value, by }) => ({ key, value, decided_by: originText(by) }))
  })
