// What the site says of a caller: who he is to the rules, asked of the account databases and of what the prolog announced.
import { HepwrapError, quote } from '../base/errors.js'
import type { DaemonConfig } from '../config/schema.js'
import type { Caller } from '../identity/caller.js'
import {
  lookupGroup,
  lookupLogin,
  lookupUser,
  type Login,
  type UserAccount,
} from '../kernel/accounts.js'
import { asksFor } from '../rules/match.js'
import { sitePolicyFor, type SitePolicy } from '../rules/site-policy.js'
import type { Subject } from '../rules/subject.js'
import type { JobRef } from '../slurm/job-of.js'
import type { JobFacts } from '../wire/job-api.js'

export type Identity = Pick<Caller, 'uid' | 'gid' | 'groups'>

/** The rules for this caller in this job; throws where they cannot be known, because they might forbid something. */
export async function siteFor(
  identity: Identity,
  job: Subject['job'],
  { layers, node }: DaemonConfig,
): Promise<SitePolicy> {
  const { uid, gid, groups } = identity
  const gids = asksFor('groups', layers) ? [...new Set([gid, ...groups])] : []
  const [user, names] = await Promise.all([
    asksFor('users', layers) ? lookupUser(uid) : undefined,
    Promise.all(gids.map(lookupGroup)),
  ]).catch((cause: unknown) => {
    throw new HepwrapError('HW_CALLER_UNKNOWN', `the accounts of uid ${uid} cannot be looked up`, {
      cause,
    })
  })
  const subject: Subject = {
    uid,
    user: user?.name,
    groups: gids.map((id, index) => ({ gid: id, name: names[index] })),
    cluster: node.cluster,
    node: node.name,
    job,
  }
  return sitePolicyFor(subject, layers)
}

export const subjectJob = (job: JobRef | undefined, facts: JobFacts | undefined): Subject['job'] =>
  job && {
    title: `job ${job.jobId ?? facts?.job_id ?? job.sluid ?? 'without a number'}`,
    account: facts?.account,
    partition: facts?.partition,
  }

/** A user as he would be after a login. */
export interface Person {
  readonly login: Login
  readonly account: UserAccount | undefined
}

/** By name, or by uid: a uid that has no account has no groups either. */
export async function personOf(user: string): Promise<Person> {
  const uid = /^[0-9]{1,10}$/.test(user) ? Number(user) : undefined
  const name = uid === undefined ? user : (await lookupUser(uid))?.name
  const login = name === undefined ? undefined : await lookupLogin(name)
  if (login !== undefined) return { login, account: await lookupUser(login.uid) }
  if (uid === undefined) throw new HepwrapError('HW_NOT_FOUND', `there is no user ${quote(user)}`)
  return { login: { uid, gid: uid, groups: [] }, account: undefined }
}
