// config/examples as real sites: what each allows runs, and what each forbids is refused by the line that says so.
// Only the names of what this world has are put in: registry, groups, users, partition, devices, digests.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DryRun } from '../../src/wire/policy-api.js'
import { type Daemon, stopDaemons } from '../world/daemon.js'
import { eventually } from '../world/eventually.js'
import { leftovers, nothing } from '../world/traces.js'
import { expectSuccess } from '../world/world.js'
import {
  expectVerdicts,
  push,
  REGISTRY,
  refusals,
  ruleOf,
  sites,
  startExample,
} from './example-policy.js'
import { complaint, hepwrap, hepwrapRun, startRun } from './job-runs.js'

afterAll(async () => {
  await stopDaemons()
  expect(await leftovers()).toEqual(nothing)
})

/** What one run prints. */
const printed = async (...run: Parameters<typeof hepwrapRun>) =>
  expectSuccess(await hepwrapRun(...run)).stdout.trim()

describe('university.toml, with bob of the students', () => {
  let daemon: Daemon
  const courses = `${REGISTRY}/courses/box:1`

  beforeAll(async () => {
    await sites(
      'mkdir -p /software /scratch; echo 4 >/software/release; install -d -o alice /scratch/alice',
    )
    await push(courses, 'course')
    await push(`${REGISTRY}/public/box:1`, 'public')
    daemon = await startExample('university', [
      ['registry.example.edu:5000', REGISTRY],
      ['"students"]', '"cms"]'],
      ['["gpu", "gpu-*"]', '["main"]'],
      ['/dev/nvidia*', '/dev/hepgpu*'],
    ])
  })
  afterAll(stopDaemons)

  it('lets everybody run images of its registries, by a tag that says which', () =>
    expectVerdicts(daemon, 'alice', [
      [['debian:test', 'true'], 'allowed'],
      [[courses, 'true'], 'allowed'],
      [[`${REGISTRY}/public/box:1`, 'true'], 'allowed'],
      [['debian', 'true'], 'HW_IMAGE_REFUSED [images]: images.deny "*:latest"'],
      [[`${REGISTRY}/public/box`, 'true'], 'HW_IMAGE_REFUSED [images]: images.deny "*:latest"'],
      [['127.0.0.1:5000/public/box:1', 'true'], 'HW_IMAGE_REFUSED [images]: images.allow'],
      [['--pull', 'always', courses, 'true'], 'HW_PULL_REFUSED built in: images.pull'],
      [['-v', '/scratch/alice:/x', 'debian:test', 'touch', '/x/new'], 'allowed'],
      [
        ['-v', '/software:/x', 'debian:test', 'true'],
        'HW_MOUNT_READ_ONLY [mounts]: mounts.read_only "/software"',
      ],
      [
        ['-v', '/software:/x:ro', 'debian:test', 'cat', '/x/release', '/software/release'],
        'allowed',
      ],
      [['-v', '/var/tmp:/x', 'debian:test', 'true'], 'HW_MOUNT_REFUSED [mounts]: mounts.allow'],
      [['--tmpfs', '/t:size=2g', 'debian:test', 'true'], 'allowed'],
      [
        ['--tmpfs', '/t:size=9g', 'debian:test', 'true'],
        'HW_LIMIT_ABOVE_SITE [policy]: ceilings.tmpfs',
      ],
    ]))

  it('gives students less', () =>
    expectVerdicts(
      daemon,
      'bob',
      [
        [['debian:test', 'true'], 'allowed'],
        [[courses, 'true'], 'allowed'],
        [[`${REGISTRY}/public/box:1`, 'true'], 'HW_IMAGE_REFUSED rule "students": images.allow'],
        [[`${REGISTRY}/courses/box`, 'true'], 'HW_IMAGE_REFUSED [images]: images.deny "*:latest"'],
        [
          ['--tmpfs', '/t:size=2g', 'debian:test', 'true'],
          'HW_LIMIT_ABOVE_SITE rule "students": ceilings.tmpfs',
        ],
        [
          ['--shm-size', '1025m', 'debian:test', 'true'],
          'HW_LIMIT_ABOVE_SITE rule "students": ceilings.shm',
        ],
      ],
      { slurm: ['--mem=2000'] },
    ))

  it('and no fifth container at a time', async () => {
    const held = Array.from({ length: 4 }, (_, index) =>
      startRun('bob', ['-i', '--name', `held-${index}`, 'debian:test', 'cat']),
    )
    const running = "select * from records where state = 'RUNNING' and started_at is not null"
    await eventually(() => daemon.ledgerRows(running).length === 4, {
      timeoutMs: 20_000,
      what: 'four containers',
    })
    const fifth = await hepwrapRun('bob', ['debian:test', 'true'], { slurm: ['-p', 'shared'] })
    expect(complaint(fifth)).toContain('(HW_TOO_MANY_RUNS)')
    expect(ruleOf(daemon, (await refusals('bob')).at(-1))).toBe(
      'rule "students": ceilings.runs_per_user',
    )
    const other = await hepwrapRun('alice', ['debian:test', 'true'], { slurm: ['-p', 'shared'] })
    expect(other.status).toBe(0)
    for (const { child, result } of held) {
      child.stdin?.end()
      expectSuccess(await result)
    }
  })

  it('leaves secrets of the login outside, and dumps no core', async () => {
    const script = 'echo ${SSH_AUTH_SOCK-none} ${MY_TOKEN-none} $KEPT; ulimit -Hc'
    const env = { SSH_AUTH_SOCK: '/x', MY_TOKEN: 'secret', KEPT: 'kept' }
    expect(
      await printed('alice', ['--host-env', 'debian:test', 'bash', '-c', script], { env }),
    ).toBe('none none kept\n0')
  })

  it('tells of each point what a run would meet there, though another has refused it before', async () => {
    const run = ['-v', '/software:/sw', '-v', '/root:/r', '--tmpfs', '/t:size=9g', 'debian', 'true']
    const asked = ['policy', 'check', '--as', 'alice', '--json', 'run', ...run]
    const { stdout } = await hepwrap('root', asked, { cwd: '/software' })
    const { refusal, points, create_request } = JSON.parse(stdout) as DryRun
    expect({ code: refusal?.code, create_request }).toEqual({
      code: 'HW_IMAGE_REFUSED',
      create_request: null,
    })
    const refused = points.filter((point) => point.refusal !== null)
    expect(refused.map(({ value, refusal }) => `${value} ${refusal?.code}`).sort()).toEqual([
      '/root:/r HW_MOUNT_REFUSED',
      '/software:/sw HW_MOUNT_READ_ONLY',
      '9663676416 HW_LIMIT_ABOVE_SITE',
      'debian HW_IMAGE_REFUSED',
    ])
  })

  describe('on the GPU partition', () => {
    const open = 'for n in 0 1; do if (exec 3<>/dev/hepgpu$n) 2>/dev/null; then echo $n; fi; done'
    const both = [0, 1].map((n) => ['--device', `/dev/hepgpu${n}`])
    const gpu = { slurm: ['--gres=gpu:1'] }

    it('opens the device that Slurm gave the job, a student’s as well, and not the other', async () => {
      for (const user of ['alice', 'bob'] as const) {
        expect(await printed(user, [...both[0]!, 'debian:test', 'bash', '-c', open], gpu)).toBe('0')
        await expectVerdicts(
          daemon,
          user,
          [[[...both[1]!, 'debian:test', 'true'], 'HW_DEVICE']],
          gpu,
        )
        await expectVerdicts(
          daemon,
          user,
          [[[...both.flat(), 'debian:test', 'true'], 'HW_DEVICE']],
          gpu,
        )
      }
      const two = { slurm: ['--gres=gpu:2'] }
      expect(await printed('alice', [...both.flat(), 'debian:test', 'bash', '-c', open], two)).toBe(
        '0\n1',
      )
    })

    it('opens neither for a job without gres, nor without --device, nor any other device', async () => {
      await expectVerdicts(daemon, 'alice', [
        [[...both[0]!, 'debian:test', 'true'], 'HW_DEVICE'],
        [[...both[1]!, 'debian:test', 'true'], 'HW_DEVICE'],
        [
          ['--device', '/dev/fuse', 'debian:test', 'true'],
          'HW_OPTION_FORBIDDEN rule "gpu": devices',
        ],
      ])
      expect(await printed('alice', ['debian:test', 'bash', '-c', open], gpu)).toBe('')
    })

    it('and on another partition nothing can be asked for', () =>
      expectVerdicts(
        daemon,
        'alice',
        [[[...both[0]!, 'debian:test', 'true'], 'HW_OPTION_FORBIDDEN built in: devices']],
        { slurm: ['-p', 'shared', '--gres=gpu:1'] },
      ))
  })
})

describe('hep-site.toml, with alice as a pilot of atlas', () => {
  let daemon: Daemon
  const image = (path: string) => `${REGISTRY}/${path}:1`

  beforeAll(async () => {
    await sites(`mkdir -p /cvmfs/atlas.cern.ch /data/raw; echo athena >/cvmfs/atlas.cern.ch/release
      install -d -o alice /data/atlas
      echo proxy >/tmp/x509up_u2002; chown bob /tmp/x509up_u2002; chmod 600 /tmp/x509up_u2002`)
    for (const path of ['base/el9', 'atlas/box', 'cms/box', 'cms/box-debug'])
      await push(image(path), path.replace('/', '-'))
    daemon = await startExample('hep-site', [
      ['registry.example.org', REGISTRY],
      ['"atlasplt*"', '"al*"'],
    ])
  })
  afterAll(stopDaemons)

  it('gives each experiment its images, and all of them the base', async () => {
    await expectVerdicts(daemon, 'alice', [
      [[image('base/el9'), 'true'], 'allowed'],
      [[image('atlas/box'), 'cat', '/cvmfs/atlas.cern.ch/release'], 'allowed'],
      [[image('cms/box'), 'true'], 'HW_IMAGE_REFUSED rule "atlas": images.allow'],
      [['debian:test', 'true'], 'HW_IMAGE_REFUSED rule "atlas": images.allow'],
      [
        [`${REGISTRY}/atlas/box:nightly`, 'true'],
        'HW_IMAGE_REFUSED [images]: images.deny "*:nightly"',
      ],
    ])
    await expectVerdicts(daemon, 'bob', [
      [[image('base/el9'), 'true'], 'allowed'],
      [[image('cms/box'), 'true'], 'allowed'],
      [[image('atlas/box'), 'true'], 'HW_IMAGE_REFUSED rule "cms": images.allow'],
      [
        [image('cms/box-debug'), 'true'],
        `HW_IMAGE_REFUSED [images]: images.deny "${REGISTRY}/*/*-debug"`,
      ],
    ])
  })

  it('lets data be read and results be written', () =>
    expectVerdicts(daemon, 'alice', [
      [['-v', '/data/raw:/raw:ro', image('base/el9'), 'ls', '/raw'], 'allowed'],
      [
        ['-v', '/data/raw:/raw', image('base/el9'), 'true'],
        'HW_MOUNT_READ_ONLY [mounts]: mounts.read_only "/data/raw"',
      ],
      [
        ['-v', '/data:/all', image('base/el9'), 'true'],
        'HW_MOUNT_READ_ONLY [mounts]: mounts.read_only "/data/raw"',
      ],
      [['-v', '/data/atlas:/out', image('base/el9'), 'touch', '/out/new'], 'allowed'],
      [['-v', '/var/log:/x', image('base/el9'), 'true'], 'HW_MOUNT_REFUSED [mounts]: mounts.allow'],
      [['-v', '/data/atlas:/cvmfs', image('base/el9'), 'true'], 'HW_MOUNT_TARGET'],
    ]))

  it('passes the proxy, whose file the user mounts', async () => {
    const X509_USER_PROXY = '/tmp/x509up_u2002'
    const args = ['-v', `${X509_USER_PROXY}:${X509_USER_PROXY}:ro`, image('cms/box')]
    const options = { env: { X509_USER_PROXY } }
    expect(await printed('bob', [...args, 'sh', '-c', 'cat $X509_USER_PROXY'], options)).toBe(
      'proxy',
    )
  })

  it('mounts no home for a pilot, and gives him more containers', async () => {
    const home = ['sh', '-c', 'ls -d $HOME']
    const work = { cwd: '/data/atlas' }
    const pilot = await hepwrapRun('alice', [image('base/el9'), ...home], work)
    expect(pilot).toMatchObject({ status: 1, stdout: '' })
    expect(await printed('bob', [image('base/el9'), ...home], work)).toBe('/home/bob')
    const shown = async (user: string) => {
      const { stdout } = expectSuccess(await hepwrap('root', ['policy', 'show', '--as', user]))
      return /ceilings\.runs_per_user = \d+ .*/.exec(stdout)?.[0].replace(/ +\S+:\d+ /, ' ')
    }
    expect(await shown('alice')).toBe(
      'ceilings.runs_per_user = 1000 rule "pilots": ceilings.runs_per_user',
    )
    expect(await shown('bob')).toBe('ceilings.runs_per_user = 64 [policy]: ceilings.runs_per_user')
  })

  it('refuses runs where CVMFS is gone', async () => {
    await sites('mv /cvmfs /cvmfs.gone')
    try {
      const result = await hepwrapRun('alice', [image('base/el9'), 'true'])
      expect(complaint(result)).toContain(
        '"/cvmfs" of the site\'s configuration does not exist (HW_MOUNT_SOURCE)',
      )
    } finally {
      await sites('mv /cvmfs.gone /cvmfs')
    }
  })

  it('may go by account instead, where every job has one: Slurm tells the prolog no other', async () => {
    await daemon.stop()
    daemon = await startExample('hep-site', [
      ['registry.example.org', REGISTRY],
      ['groups = ["cms"]', 'accounts = ["cms"]'],
    ])
    const cms = [image('cms/box'), 'true']
    await expectVerdicts(daemon, 'bob', [[cms, 'allowed']], { slurm: ['-A', 'cms'] })
    const other = 'HW_IMAGE_REFUSED [images]: images.allow'
    await expectVerdicts(daemon, 'bob', [[cms, other]], { slurm: ['-A', 'other'] })
    const none = await hepwrapRun('bob', cms)
    expect(complaint(none)).toMatch(
      /job \d+ has not been announced with what rule "cms" asks for \(accounts\) \(HW_JOB_UNANNOUNCED\)$/,
    )
  })
})
