import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { CHECKS, enforce } from '../../../src/policy/policy.js'
import {
  chosen,
  codeAndText,
  configOf,
  planOf,
  userMount,
  type Variation,
} from '../plan/plan-fixture.js'
import type { JobId } from '../../../src/base/ids.js'
import type { JobRef } from '../../../src/slurm/job-of.js'

const JOB: JobRef = {
  jobId: 42 as JobId,
  sluid: undefined,
  stepId: undefined,
  task: undefined,
  cgroup: { v1: new Map(), v2: undefined },
}
const SITE = '[images]\nallow = ["busybox"]\n[mounts]\nalways = ["/cvmfs:/cvmfs:ro"]\n'

/** The verdict on a plan that breaks no rule but for what is varied. */
const verdict = (variation: Variation = {}, toml = SITE) =>
  codeAndText(() => enforce(planOf({ job: JOB, toml, ...variation }), configOf(toml)))

it('lets a plain run in a job pass', () => expect(verdict()).toBe('nothing thrown'))

it('has every file of checks/ in its list', () => {
  const files = readdirSync('src/policy/checks')
  const source = readFileSync('src/policy/policy.ts', 'utf8')
  for (const file of files) expect(source).toContain(`'./checks/${file.replace('.ts', '.js')}'`)
  expect(CHECKS).toHaveLength(files.length)
  expect(new Set(CHECKS).size).toBe(CHECKS.length)
})

describe('caller', () => {
  it.each<[string, Variation, string, string]>([
    ['a user', {}, SITE, 'nothing thrown'],
    [
      'root',
      { caller: { uid: 0 } },
      SITE,
      'HW_ROOT_REFUSED root may not run containers (slurm.root',
    ],
    ['root by gid alone', { caller: { gid: 0 } }, SITE, 'nothing thrown'],
    [
      'root where allowed',
      { caller: { uid: 0 } },
      `${SITE}[slurm]\nroot = "allow"`,
      'nothing thrown',
    ],
    [
      'root outside a job where both are allowed but root',
      { caller: { uid: 0 }, job: undefined },
      `${SITE}[slurm]\noutside_jobs = "allow"`,
      'HW_ROOT_REFUSED',
    ],
  ])('%s', (_what, variation, toml, expected) =>
    expect(verdict(variation, toml)).toContain(expected),
  )
})

describe('job', () => {
  const strict = `${SITE}[slurm]\nrequire_prolog = true`
  const bySluid = { ...JOB, jobId: undefined, sluid: 'sEKNKTV3WPV500' }
  it.each<[string, Variation, string, string]>([
    [
      'none',
      { job: undefined },
      SITE,
      'HW_OUTSIDE_JOB process 4242 is not in a Slurm job (slurm.outside_jobs',
    ],
    [
      'none, allowed',
      { job: undefined },
      `${SITE}[slurm]\noutside_jobs = "allow"`,
      'nothing thrown',
    ],
    [
      'none, allowed, prolog demanded',
      { job: undefined },
      `${SITE}[slurm]\noutside_jobs = "allow"\nrequire_prolog = true`,
      'nothing thrown',
    ],
    ['unannounced', {}, strict, 'HW_JOB_UNANNOUNCED job 42 has not been announced'],
    ['announced', { jobFacts: { job_id: 42, uid: 1000 } }, strict, 'nothing thrown'],
    ['announced for nobody', { jobFacts: { job_id: 42 } }, strict, 'nothing thrown'],
    [
      'announced for another',
      { jobFacts: { job_id: 42, uid: 1001 } },
      SITE,
      'HW_JOB_MISMATCH job 42 was announced for uid 1001, and uid 1000 calls',
    ],
    ['announced for root', { jobFacts: { job_id: 42, uid: 0 } }, SITE, 'HW_JOB_MISMATCH'],
    [
      'another job’s facts',
      { jobFacts: { job_id: 43, uid: 1000 } },
      SITE,
      'HW_JOB_MISMATCH job 42 was announced as job 43',
    ],
    ['by SLUID', { job: bySluid, jobFacts: { job_id: 43, uid: 1000 } }, strict, 'nothing thrown'],
    ['by SLUID, unannounced', { job: bySluid }, strict, 'HW_JOB_UNANNOUNCED job sEKNKTV3WPV500'],
  ])('%s', (_what, variation, toml, expected) =>
    expect(verdict(variation, toml)).toContain(expected),
  )
})

describe('image', () => {
  it.each([
    ['busybox:1.36', 'nothing thrown'],
    ['docker.io/library/busybox', 'nothing thrown'],
    [
      'evil/busybox',
      'HW_IMAGE_REFUSED image "evil/busybox" is not allowed on this site (images.allow)',
    ],
  ])('%s', (image, expected) => expect(verdict({ request: { image } })).toContain(expected))
})

describe('pull', () => {
  const site = (pull: string) => `[images]\nallow = ["busybox"]\npull = "${pull}"`
  it.each([
    ['never', 'never', true],
    ['never', 'missing', false],
    ['never', 'always', false],
    ['missing', 'never', true],
    ['missing', 'missing', true],
    ['missing', 'always', false],
    ['always', 'always', true],
    ['always', 'never', true],
  ] as const)('where %s is allowed, --pull %s: %s', (most, pull, isAllowed) => {
    expect(verdict({ request: { pull } }, site(most))).toBe(
      isAllowed
        ? 'nothing thrown'
        : `HW_PULL_REFUSED --pull ${pull} is more than this site allows (images.pull = "${most}")`,
    )
  })

  it('asked for by nobody is never refused', () => {
    for (const most of ['never', 'missing', 'always'])
      expect(verdict({}, site(most))).toBe('nothing thrown')
  })
})

describe('limits', () => {
  const jobLimits = { memoryBytes: 100_000_000, cpus: 2 }
  it.each<[Variation['request'], string]>([
    [{ memory_bytes: 100_000_000, cpus: 2, shm_size_bytes: 100_000_000 }, 'nothing thrown'],
    [
      { memory_bytes: 100_000_001 },
      'HW_LIMIT_ABOVE_JOB --memory 100000001: the job has 100000000 bytes',
    ],
    [{ cpus: 2.5 }, 'HW_LIMIT_ABOVE_JOB --cpus 2.5: the job has 2 cpus'],
    [{ shm_size_bytes: 100_000_001 }, 'HW_LIMIT_ABOVE_JOB --shm-size 100000001'],
  ])('%j', (request, expected) =>
    expect(verdict({ jobLimits, ...(request === undefined ? {} : { request }) })).toContain(
      expected,
    ),
  )

  it('are not guessed where the job has none', () =>
    expect(verdict({ request: { memory_bytes: 1e15, cpus: 500 } })).toBe('nothing thrown'))
})

describe('ulimits', () => {
  const rlimits = new Map([
    ['nofile', { soft: 1, hard: 1024 }],
    ['memlock', { soft: 1, hard: -1 }],
    ['rtprio', { soft: 0, hard: 0 }],
  ])
  it.each([
    ['nofile', 512, 1024, 'nothing thrown'],
    ['nofile', 512, 1025, 'HW_LIMIT_ABOVE_JOB --ulimit nofile=1025: your own limit is 1024'],
    ['nofile', -1, -1, 'HW_LIMIT_ABOVE_JOB --ulimit nofile=-1'],
    ['memlock', -1, -1, 'nothing thrown'],
    ['memlock', 5, 5, 'nothing thrown'],
    ['rtprio', 99, 99, 'HW_LIMIT_ABOVE_JOB --ulimit rtprio=99: your own limit is 0'],
    ['nice', 1, 1, 'HW_LIMIT_ABOVE_JOB --ulimit nice: your own limit is not known'],
  ])('%s %i:%i', (name, soft, hard, expected) => {
    const request = { ulimits: [{ name, soft, hard }] }
    expect(verdict({ rlimits, request })).toContain(expected)
  })

  it('are refused where the caller’s own cannot be read', () => {
    const request = { ulimits: [{ name: 'nofile', soft: 1, hard: 1 }] }
    expect(verdict({ request })).toContain('HW_LIMIT_ABOVE_JOB')
  })
})

describe('mounts', () => {
  it.each([
    '/data',
    '/home/ada',
    '/etc/shadow',
    '/run/munge',
    '/run/user/1000',
    '/run/docker.socket',
    '/var/lib/dockers',
    '/procs',
    './relative',
    '/tmp/a b',
  ])('of %j may be', (source) =>
    expect(verdict({ request: { mounts: [userMount(source, '/x')] } })).toBe('nothing thrown'),
  )

  it.each([
    '/run/docker.sock',
    '/var/run/docker.sock',
    '/run//docker.sock',
    '/run/../run/docker.sock',
    '/tmp/../run/docker.sock/',
    '/run/podman/podman.sock',
    '/run/containerd/containerd.sock',
    '/run/crio/crio.sock',
    '/var/lib/docker/overlay2',
    '/var/lib/containerd',
    '/run/hepwrap/runs',
    '/run/hepwrap/hepwrapd.sock',
    '/var/lib/hepwrap/ledger.db',
    '/proc/1/root',
    '/proc',
    '/sys/fs/cgroup',
    '/dev/mem',
    '/site/secret/x',
    '/site/secret',
    '/srv/engine.sock',
    // Above: what is denied would show inside.
    '/',
    '//',
    '/run',
    '/run/',
    '/var/lib',
    '/site',
  ])('of %j may not be', (source) => {
    const toml = `${SITE}deny = ["/site/secret"]\n[engine]\nsocket = "/srv/engine.sock"\n`
    expect(verdict({ request: { mounts: [userMount(source, '/x')] } }, toml)).toContain(
      `HW_MOUNT_REFUSED mount of ${JSON.stringify(source)} is not allowed on this site: `,
    )
  })

  it('of HOME and cwd are left to staging, those of the site to the site', () => {
    const mounts = [chosen('home', '/run/hepwrap'), chosen('cwd', '/var/lib/docker')]
    expect(verdict({ request: { mounts } })).toBe('nothing thrown')
    const toml = '[images]\nallow = ["busybox"]\n[mounts]\nalways = ["/dev/infiniband:/x"]'
    expect(verdict({}, toml)).toBe('nothing thrown')
  })

  it('never go where they are reserved, whoever made the plan', () => {
    const plan = planOf({ job: JOB, toml: SITE })
    const mount = { kind: 'tmpfs', target: '/.hepwrap/init', sizeBytes: 1, mode: 1 } as const
    const bad = { ...plan, mounts: [...plan.mounts, mount] }
    expect(codeAndText(() => enforce(bad, configOf(SITE)))).toContain(
      'HW_MOUNT_TARGET mount target "/.hepwrap/init" is reserved',
    )
  })
})
