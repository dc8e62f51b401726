import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { CHECKS, enforce, judge, judgeImage } from '../../../src/policy/policy.js'
import {
  chosen,
  codeAndText,
  configOf,
  planOf,
  siteOf,
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
  codeAndText(() => enforce(planOf({ job: JOB, toml, ...variation }), siteOf(toml), configOf(toml)))

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
    ['root', { caller: { uid: 0 } }, SITE, 'HW_ROOT_REFUSED root may not run containers (root'],
    ['root by gid alone', { caller: { gid: 0 } }, SITE, 'nothing thrown'],
    [
      'root where allowed',
      { caller: { uid: 0 } },
      `${SITE}[policy]\nroot = "allow"`,
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
    [
      'by SLUID, unannounced: nobody knows which job that is',
      { job: bySluid },
      SITE,
      'HW_JOB_UNANNOUNCED job sEKNKTV3WPV500: Slurm names it by its SLUID alone',
    ],
    [
      'by SLUID, unannounced, where outside of jobs all may run',
      { job: bySluid },
      `${SITE}[slurm]\noutside_jobs = "allow"`,
      'HW_JOB_UNANNOUNCED',
    ],
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
    '/run/docker/containerd/containerd.sock',
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
    expect(codeAndText(() => enforce(bad, siteOf(SITE), configOf(SITE)))).toContain(
      'HW_MOUNT_TARGET mount target "/.hepwrap/init" is reserved',
    )
  })
})

describe('image, denied', () => {
  const A = `sha256:${'a'.repeat(64)}`
  const law = (deny: string[]) =>
    `[images]\nallow = ["busybox", "atlas/*", "quay.io/*"]\ndeny = ${JSON.stringify(deny)}\n[mounts]\nalways = []\n`
  it.each<[string[], string, boolean]>([
    [['busybox:1*'], 'busybox:1.36', true],
    [['busybox:1*'], 'busybox:2', false],
    [['busybox'], `busybox@${A}`, true],
    [['*/*:latest'], 'busybox', true],
    [['*/*:latest'], 'atlas/x:24', false],
    // A denial by tag says nothing about content that is asked for by digest.
    [['*/*:latest'], `busybox:latest@${A}`, false],
    [[`busybox@${A}`], `busybox@${A}`, true],
    [[`busybox@${A}`], 'busybox', false],
    [['docker.io/*'], 'atlas/x', true],
    // One registry by any of its names.
    [['docker.io/atlas/*'], 'registry-1.docker.io/atlas/x', true],
    [['docker.io/atlas/*'], 'REGISTRY-1.docker.io:443/atlas/x', true],
    [['Quay.io:443/*'], 'quay.io/a/b', true],
  ])('%j: %s: %s', (deny, image, isDenied) =>
    expect(verdict({ request: { image } }, law(deny))).toContain(
      isDenied ? `HW_IMAGE_REFUSED image "${image}" is not allowed` : 'nothing thrown',
    ),
  )

  it('by a digest that the content has under another name', () => {
    const ref = planOf({ request: { image: 'busybox' } }).image
    const identity = { digest: undefined, digests: [A] }
    const site = siteOf(law([`*/*@${A}`]))
    expect(judgeImage(ref, identity, site).refusal?.text).toContain('images.deny')
  })
})

describe('network', () => {
  const law = (modes: string) => `${SITE}[policy]\nnetwork = ${modes}\n`
  it.each<[string, 'host' | 'none' | undefined, string]>([
    ['["host", "none"]', undefined, 'nothing thrown'],
    ['["none"]', undefined, 'nothing thrown'],
    ['["none"]', 'none', 'nothing thrown'],
    ['["none"]', 'host', 'HW_NETWORK_REFUSED --network host is not allowed on this site'],
    ['["host"]', 'none', 'HW_NETWORK_REFUSED --network none is not allowed on this site'],
    ['[]', undefined, 'HW_NETWORK_REFUSED'],
  ])('where %s is allowed, %s: %s', (modes, network, expected) =>
    expect(verdict({ request: network === undefined ? {} : { network } }, law(modes))).toContain(
      expected,
    ),
  )

  it('asked for by nobody is what the site allows', () => {
    expect(planOf({ toml: law('["none"]') }).network).toBe('none')
    expect(planOf({ toml: law('["none", "host"]') }).network).toBe('host')
  })
})

describe('ceilings of the site', () => {
  const law = (keys: string) => `${SITE}[policy.ceilings]\n${keys}\n`
  const rlimits = new Map([['core', { soft: -1, hard: -1 }]])
  it.each<[string, Variation['request'], string]>([
    ['shm = "1m"', { shm_size_bytes: 2 ** 20 }, 'nothing thrown'],
    ['shm = "1m"', { shm_size_bytes: 2 ** 20 + 1 }, 'HW_LIMIT_ABOVE_SITE --shm-size 1048577'],
    ['tmpfs = "1m"', { tmpfs: [{ target: '/t', size_bytes: 2 ** 20 }] }, 'nothing thrown'],
    [
      'tmpfs = "1m"',
      { tmpfs: [{ target: '/t', size_bytes: 2 ** 20 + 1 }] },
      'HW_LIMIT_ABOVE_SITE --tmpfs "/t" 1048577: this site allows 1048576 bytes (ceilings.tmpfs = "1m")',
    ],
    ['ulimits = {core = 5}', { ulimits: [{ name: 'core', soft: 5, hard: 5 }] }, 'nothing thrown'],
    [
      'ulimits = {core = 5}',
      { ulimits: [{ name: 'core', soft: 5, hard: 6 }] },
      'HW_LIMIT_ABOVE_SITE --ulimit core=6: this site allows 5',
    ],
    [
      'ulimits = {core = 5}',
      { ulimits: [{ name: 'core', soft: -1, hard: -1 }] },
      'HW_LIMIT_ABOVE_SITE',
    ],
    [
      'ulimits = {core = "unlimited"}',
      { ulimits: [{ name: 'core', soft: -1, hard: -1 }] },
      'nothing thrown',
    ],
  ])('%s, %j: %s', (keys, request, expected) =>
    expect(verdict({ rlimits, ...(request && { request }) }, law(keys))).toContain(expected),
  )

  it('hold where nobody asked for anything', () => {
    const toml = law('shm = "1m"\ntmpfs = "2m"\npids = 7\nulimits = {core = 5}')
    const plan = planOf({ toml, rlimits, request: { tmpfs: [{ target: '/t' }] } })
    expect(plan.shmSizeBytes).toBe(2 ** 20)
    expect(plan.mounts.at(-1)).toMatchObject({ kind: 'tmpfs', sizeBytes: 2 * 2 ** 20 })
    expect(plan.pidsMax).toBe(7)
    expect(plan.ulimits).toEqual([{ name: 'core', soft: 5, hard: 5 }])
  })
})

describe('environment', () => {
  const law = (keys: string) => `${SITE}[policy.environment]\n${keys}\n`
  it.each<[string, string, string]>([
    ['refuse = ["*_TOKEN"]', 'A_TOKEN', 'HW_ENV_REFUSED variable "A_TOKEN" is not allowed'],
    ['refuse = ["*_TOKEN"]', 'A_TOKENS', 'nothing thrown'],
    ['never = ["*_TOKEN"]', 'A_TOKEN', 'nothing thrown'],
    ['', 'LD_PRELOAD', 'nothing thrown'],
  ])('with %s, -e %s: %s', (keys, name, expected) =>
    expect(verdict({ request: { env: { [name]: 'x' } } }, law(keys))).toContain(expected),
  )

  it('of the caller passes as the site says, and never what it refuses', () => {
    const toml = law('pass = ["...", "X509_*", "A_*"]\nnever = ["*_KEY"]\nrefuse = ["*_TOKEN"]')
    const host = { X509_USER_PROXY: '1', X509_KEY: '2', A_TOKEN: '3', HOME: '4', B: '5' }
    const { env } = planOf({ toml, request: { host_env: host } })
    expect(env).toEqual({ X509_USER_PROXY: '1', HOME: '4' })
    const all = planOf({ toml, request: { host_env: host, all_host_env: true } }).env
    expect(all).toEqual({ X509_USER_PROXY: '1', HOME: '4', B: '5' })
  })
})

describe('devices', () => {
  const law = `${SITE}[policy]\ndevices = ["/dev/fuse", "/dev/nvidia*", "/dev/infiniband/*"]\n`
  it.each([
    ['/dev/fuse', 'nothing thrown'],
    ['/dev/nvidia0', 'nothing thrown'],
    ['/dev/infiniband/uverbs0', 'nothing thrown'],
    ['/dev/sda', 'HW_OPTION_FORBIDDEN option "--device=/dev/sda" is not allowed on this site'],
    ['/dev/nvidia/x', 'HW_OPTION_FORBIDDEN'], // a star stays in its directory
    ['/dev/infiniband', 'HW_OPTION_FORBIDDEN'],
    ['/dev/../dev/fuse', 'HW_OPTION_INVALID'],
    ['/etc/shadow', 'HW_OPTION_INVALID'],
    ['/dev//fuse', 'HW_OPTION_INVALID'],
  ])('%s: %s', (device, expected) =>
    expect(verdict({ request: { devices: [device] } }, law)).toContain(expected),
  )

  it('are none without the site', () =>
    expect(verdict({ request: { devices: ['/dev/null'] } })).toContain('HW_OPTION_FORBIDDEN'))

  // The site's list may not name these; a star in it does not reach them either.
  it.each(['/dev/shm/x', '/dev/pts/3', '/dev/mqueue/x', '/dev/shm'])(
    'are never what lies where users make files: %s',
    (device) => {
      const stars = `${SITE}[policy]\ndevices = ["/dev/*", "/dev/*/*", "/dev/s?m/*"]\n`
      const asked = { request: { devices: [device] } }
      expect(verdict(asked, stars)).toContain('HW_OPTION_FORBIDDEN')
    },
  )
})

describe('a refusal by the site', () => {
  it('names the line that says so', () => {
    const plan = planOf({ job: JOB, toml: SITE, request: { image: 'evil' } })
    const refuse = () => enforce(plan, siteOf(SITE), configOf(SITE))
    expect(refuse).toThrow(
      expect.objectContaining({ rule: 'f.toml:2 [images]: images.allow' }) as Error,
    )
  })

  it('is one of many points, each with its own line', () => {
    const request = { image: 'evil', network: 'none' as const }
    const verdicts = judge(planOf({ job: JOB, toml: SITE, request }), siteOf(SITE), configOf(SITE))
    expect(verdicts.map(({ point, refusal }) => [point, refusal?.code])).toEqual([
      ['job', undefined],
      ['image', 'HW_IMAGE_REFUSED'],
      ['pull', undefined],
      ['network', undefined],
      ['mount', undefined],
    ])
  })

  it('of who or where leaves the rest unsaid', () => {
    const plan = planOf({ toml: SITE, request: { image: 'evil' } })
    expect(judge(plan, siteOf(SITE), configOf(SITE)).map(({ point }) => point)).toEqual(['job'])
  })
})
