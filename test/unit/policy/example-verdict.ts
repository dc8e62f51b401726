// What one of config/examples says of a request: the whole of policy/ and of mounts/judge, without a node.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { JobId } from '../../../src/base/ids.js'
import { parseDaemonConfig } from '../../../src/config/load.js'
import { objectionTo } from '../../../src/mounts/judge.js'
import { makePlan } from '../../../src/plan/make-plan.js'
import type { RunPlan } from '../../../src/plan/run-plan.js'
import { parseImageRef } from '../../../src/plan/image-ref.js'
import { judge, judgeImage, mountLaw, type ImageIdentity } from '../../../src/policy/policy.js'
import { sitePolicyFor, type SitePolicy } from '../../../src/rules/site-policy.js'
import type { Subject } from '../../../src/rules/subject.js'
import { parseMounts } from '../../../src/proc/mount-info.js'
import type { RunRequest } from '../../../src/wire/run-api.js'
import { CALLER, REQUEST } from '../plan/plan-fixture.js'

export const EXAMPLES = ['university', 'hep-site', 'sensitive'] as const
export type Example = (typeof EXAMPLES)[number]

export const exampleText = (name: Example): string =>
  readFileSync(join(import.meta.dirname, `../../../config/examples/${name}.toml`), 'utf8')

const configOf = (name: Example) => parseDaemonConfig(exampleText(name), `${name}.toml`, 'n1')

export interface Asker {
  readonly user?: string
  readonly group?: string
  readonly partition?: string
}

export const siteOf = (
  name: Example,
  { user = 'ada', group = 'users', partition = 'main' }: Asker,
): SitePolicy => sitePolicyFor(subjectOf({ user, group, partition }), configOf(name).layers)

const subjectOf = ({ user, group, partition }: Required<Asker>): Subject => ({
  uid: CALLER.uid,
  user,
  groups: [{ gid: 100, name: group }],
  cluster: 'any',
  node: 'n1',
  job: { title: 'job 42', account: undefined, partition },
})

/** "allowed", or code and what said so: 'HW_IMAGE_REFUSED [images]: images.deny "*:latest"'. */
export function verdictOf(
  name: Example,
  asker: Asker,
  request: Partial<RunRequest>,
  identity?: ImageIdentity,
): string {
  const config = configOf(name)
  const site = siteOf(name, asker)
  const plan = makePlan({
    runId: 'ab'.repeat(16) as RunPlan['runId'],
    caller: CALLER,
    job: {
      jobId: 42 as JobId,
      sluid: undefined,
      stepId: undefined,
      task: undefined,
      cgroup: { v1: new Map(), v2: undefined },
    },
    jobFacts: { job_id: 42, uid: CALLER.uid },
    jobLimits: { memoryBytes: undefined, cpus: undefined },
    rlimits: new Map([
      ['core', { soft: -1, hard: -1 }],
      ['nofile', { soft: 1024, hard: 4096 }],
    ]),
    request: { ...REQUEST, ...request },
    config,
    site,
  })
  const verdicts = judge(plan, site, config)
  const content = identity && judgeImage(parseImageRef(plan.image.text), identity, site)
  const refused = [...verdicts, ...(content ? [content] : [])].find(
    ({ refusal }) => refusal !== undefined,
  )
  if (refused?.refusal !== undefined) return said(refused.refusal.code, refused.decidedBy)
  return mountVerdict(plan, mountLaw(site, config))
}

/** A node whose whole tree is one file system. */
const MOUNTS = parseMounts('1 0 8:1 / / rw - ext4 /dev/sda1 rw\n')

function mountVerdict({ mounts }: RunPlan, law: ReturnType<typeof mountLaw>): string {
  for (const mount of mounts) {
    if (mount.kind !== 'caller' || mount.origin !== 'user') continue
    const facts = { path: mount.source, kind: 'directory', mountId: 1 } as const
    const objection = objectionTo(facts, mount.readOnly, { ...law, mounts: MOUNTS })
    if (objection !== undefined) return said(objection.code, objection.decidedBy ?? '')
  }
  return 'allowed'
}

/** Without file and line, which move with every comment. */
const said = (code: string, decidedBy: string) => `${code} ${decidedBy.replace(/^\S+:\d+ /, '')}`
