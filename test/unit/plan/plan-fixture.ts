// A request, a caller and a configuration to vary in tests of plan and policy.
import type { RunId } from '../../../src/base/ids.js'
import { parseDaemonConfig } from '../../../src/config/load.js'
import type { Caller } from '../../../src/identity/caller.js'
import { makePlan, type PlanInput } from '../../../src/plan/make-plan.js'
import { someRequest } from '../../support/some-request.js'
import { sitePolicyFor, type SitePolicy } from '../../../src/rules/site-policy.js'
import type { Subject } from '../../../src/rules/subject.js'
import type { MountRequest, RunRequest } from '../../../src/wire/run-api.js'

export const REQUEST: RunRequest = someRequest({ command: ['true'], cwd: '/home/ada/work' })

export const CALLER: Caller = {
  uid: 1000,
  gid: 100,
  groups: [100, 500],
  pid: 4242,
  pidfd: 7,
  startTimeTicks: 99,
  umask: 0o22,
}

const NO_SITE_MOUNTS = '[mounts]\nalways = []\n'

/** `toml` replaces the test's usual configuration, which mounts nothing of the site's. */
export const configOf = (toml = NO_SITE_MOUNTS) => parseDaemonConfig(toml, 'f.toml', 'n1')

export const SUBJECT: Subject = {
  uid: 1000,
  user: 'ada',
  groups: [{ gid: 100, name: 'users' }],
  cluster: 'hepp',
  node: 'n1',
  job: { title: 'job 42', account: 'physics', partition: 'main' },
}

/** What a file says of a user. */
export const siteOf = (toml?: string, subject: Partial<Subject> = {}): SitePolicy =>
  sitePolicyFor({ ...SUBJECT, ...subject }, configOf(toml).layers)

export interface Variation extends Partial<
  Omit<PlanInput, 'request' | 'config' | 'caller' | 'site'>
> {
  readonly request?: Partial<RunRequest>
  readonly caller?: Partial<Caller>
  readonly toml?: string
}

export const planOf = ({ request, caller, toml, ...others }: Variation = {}) =>
  makePlan({
    runId: 'ab'.repeat(16) as RunId,
    job: undefined,
    jobFacts: undefined,
    jobLimits: { memoryBytes: undefined, cpus: undefined },
    ...others,
    request: { ...REQUEST, ...request },
    caller: { ...CALLER, ...caller },
    config: configOf(toml),
    site: siteOf(toml),
  })

export const userMount = (source: string, target: string): MountRequest => ({
  source,
  fd: 9,
  target,
  read_only: false,
  origin: 'user',
})

export const chosen = (origin: 'home' | 'cwd', path: string): MountRequest => ({
  ...userMount(path, path),
  origin,
})

export const codeAndText = (action: () => unknown): string => {
  try {
    action()
  } catch (error) {
    if (error instanceof Error && 'code' in error) return `${String(error.code)} ${error.message}`
    throw error
  }
  return 'nothing thrown'
}
