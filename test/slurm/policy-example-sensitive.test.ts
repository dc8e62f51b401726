// config/examples/sensitive.toml as a real site; policy-examples.test.ts has the others. Images are pushed to a real
// registry and signed there as cosign does. The digests, the registry, a group and a user of the file are this world's.
import { generateKeyPairSync } from 'node:crypto'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { signImage } from '../world/cosign-sign.js'
import { type Daemon, stopDaemons } from '../world/daemon.js'
import { leftovers, nothing } from '../world/traces.js'
import { expectSuccess, service } from '../world/world.js'
import { expectVerdicts, push, REGISTRY, sites, startExample } from './example-policy.js'
import { complaint, hepwrap, hepwrapRun } from './job-runs.js'

const analysis = `${REGISTRY}/trusted/analysis`
const candidate = `${REGISTRY}/candidates/next:1`
const release = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const UNSIGNED = 'HW_IMAGE_UNSIGNED [images]: images.require_signature'

let daemon: Daemon
let signed: string
let unsigned: string

const start = (...more: (readonly [string, string])[]) =>
  startExample('sensitive', [
    [`trusted/analysis@sha256:${'1'.repeat(64)}`, `trusted/analysis@${signed}`],
    [`trusted/statistics@sha256:${'2'.repeat(64)}`, `trusted/statistics@${unsigned}`],
    ['registry.example.org', REGISTRY],
    ['"archivists"', '"cms"'],
    ...more,
  ])

beforeAll(async () => {
  await sites(`install -d -o alice /projects/a /projects/synthetic
    install -d -m 1777 /projects/archive /projects/quarantine`)
  mkdirSync('/etc/hepwrap/keys', { recursive: true })
  const pem = release.publicKey.export({ type: 'spki', format: 'pem' })
  writeFileSync('/etc/hepwrap/keys/release.pub', pem, { mode: 0o644 })
  signed = await push(`${analysis}:1`, 'analysis')
  unsigned = await push(`${REGISTRY}/trusted/statistics:1`, 'statistics')
  await push(candidate, 'candidate')
  const place = { registry: REGISTRY, repository: 'trusted/analysis' }
  await signImage({ ...place, digest: signed, privateKey: release.privateKey })
  daemon = await start()
})
afterAll(async () => {
  await stopDaemons()
  expect(await leftovers()).toEqual(nothing)
})

const image = () => `${analysis}@${signed}`

describe('sensitive.toml', () => {
  it('runs what is on its list and signed, by digest or by a tag that still means it', async () => {
    await expectVerdicts(daemon, 'alice', [
      [[image(), 'cat', '/word'], 'allowed'],
      [[`${analysis}:1`, 'cat', '/word'], 'allowed'],
      [[`${REGISTRY}/trusted/statistics@${unsigned}`, 'true'], UNSIGNED],
      [[`${analysis}@${unsigned}`, 'true'], 'HW_IMAGE_REFUSED [images]: images.allow'],
      [['debian:test', 'true'], 'HW_IMAGE_REFUSED [images]: images.allow'],
      [[candidate, 'true'], 'HW_IMAGE_REFUSED [images]: images.allow'],
    ])
    expect(readdirSync(join(daemon.stateDirectory, 'signatures'))).toHaveLength(1)
  })

  it('refuses a tag that has moved away, though the new image is signed', async () => {
    const moved = await push(`${analysis}:moving`, 'moved')
    const place = { registry: REGISTRY, repository: 'trusted/analysis' }
    await signImage({ ...place, digest: moved, privateKey: release.privateKey })
    const refused = 'HW_IMAGE_REFUSED [images]: images.allow'
    await expectVerdicts(daemon, 'alice', [[[`${analysis}:moving`, 'true'], refused]])
  })

  it('gives no network but the loopback', async () => {
    const args = [image(), 'sh', '-c', 'ls /sys/class/net']
    expect(expectSuccess(await hepwrapRun('alice', args)).stdout.trim()).toBe('lo')
    await expectVerdicts(daemon, 'alice', [
      [['--network', 'none', image(), 'true'], 'allowed'],
      [['--network', 'host', image(), 'true'], 'HW_NETWORK_REFUSED [policy]: network'],
    ])
  })

  it('mounts projects and nothing else, the archive read-only', () =>
    expectVerdicts(daemon, 'alice', [
      [['-v', '/projects/a:/a', image(), 'touch', '/a/new'], 'allowed'],
      [['-v', '/projects/archive:/a:ro', image(), 'ls', '/a'], 'allowed'],
      [
        ['-v', '/projects/archive:/a', image(), 'true'],
        'HW_MOUNT_READ_ONLY [mounts]: mounts.read_only "/projects/archive"',
      ],
      [
        ['-v', '/projects:/a:ro', image(), 'true'],
        'HW_MOUNT_REFUSED [mounts]: mounts.deny "/projects/quarantine"',
      ],
      [['-v', '/home/alice:/a', image(), 'true'], 'HW_MOUNT_REFUSED [mounts]: mounts.allow'],
      [['-v', '/tmp:/a', image(), 'true'], 'HW_MOUNT_REFUSED [mounts]: mounts.allow'],
    ]))

  it('takes "read-only" back for those who keep the archive, and nothing more', () =>
    expectVerdicts(daemon, 'bob', [
      [['-v', '/projects/archive:/a', image(), 'touch', '/a/new'], 'allowed'],
      [
        ['-v', '/projects/quarantine:/a:ro', image(), 'true'],
        'HW_MOUNT_REFUSED [mounts]: mounts.deny "/projects/quarantine"',
      ],
    ]))

  it('has the working directory where it is a project’s, and no home', async () => {
    const look = [image(), 'sh', '-c', 'pwd; ls -d /home/alice /cvmfs /projects/a 2>/dev/null']
    const inProject = await hepwrapRun('alice', look, { cwd: '/projects/a' })
    expect(inProject.stdout).toBe('/projects/a\n/projects/a\n')
    const atHome = await hepwrapRun('alice', look)
    expect(atHome.stdout).toBe('/\n')
  })

  it('bounds memory file systems and dumps no core', async () => {
    const ulimit = 'HW_LIMIT_ABOVE_SITE [policy]: ceilings.ulimits'
    await expectVerdicts(
      daemon,
      'alice',
      [
        [
          ['--tmpfs', '/t:size=3g', image(), 'true'],
          'HW_LIMIT_ABOVE_SITE [policy]: ceilings.tmpfs',
        ],
        [['--shm-size', '1025m', image(), 'true'], 'HW_LIMIT_ABOVE_SITE [policy]: ceilings.shm'],
        [['--ulimit', 'core=1', image(), 'true'], ulimit],
      ],
      { slurm: ['--mem=2000'] },
    )
    const look = ['--tmpfs', '/t', image(), 'sh', '-c', 'df -m /t | tail -1; ulimit -Hc']
    const { stdout } = expectSuccess(await hepwrapRun('alice', look))
    expect(stdout).toMatch(/^tmpfs +2048 [^\n]*\n0\n$/)
  })

  it('keeps secrets outside, and lets nobody set a loader or a proxy', async () => {
    const env = { KRB5CCNAME: '/x', SSH_AUTH_SOCK: '/x', SITE_SECRET: 'x', KEPT: 'kept' }
    const show = ['--host-env', image(), 'env']
    const { stdout } = expectSuccess(await hepwrapRun('alice', show, { env }))
    expect(stdout).toContain('KEPT=kept')
    expect(stdout).not.toMatch(/^(KRB5|SSH_|SITE_SECRET)/m)
    const refused = (entry: string) => `HW_ENV_REFUSED [policy]: environment.refuse "${entry}"`
    await expectVerdicts(daemon, 'alice', [
      [['-e', 'LD_PRELOAD=/a.so', image(), 'true'], refused('LD_*')],
      [['-e', 'http_proxy=x', image(), 'true'], refused('*_proxy')],
      [['-e', 'SITE_SECRET=mine', image(), 'true'], 'allowed'],
    ])
  })

  it('goes on without the registry for what was verified once', async () => {
    await daemon.restart()
    await service('stop', 'registry')
    try {
      expect(expectSuccess(await hepwrapRun('alice', [image(), 'cat', '/word'])).stdout).toBe(
        'analysis\n',
      )
      const never = await hepwrapRun('alice', [
        `${REGISTRY}/trusted/statistics@${unsigned}`,
        'true',
      ])
      expect(complaint(never)).toContain('(HW_REGISTRY_DOWN)')
    } finally {
      await service('start', 'registry')
    }
  })

  it('tells root the same of a user, before any run', async () => {
    const check = (...run: string[]) =>
      hepwrap('root', ['policy', 'check', '--as', 'alice', 'run', ...run])
    const { stdout } = expectSuccess(await check(image(), 'true'))
    expect(stdout).toMatch(/^verdict: allowed\n/)
    expect(stdout).toContain('"NetworkMode": "none"')
    const unlisted = await check(candidate, 'true')
    expect(unlisted).toMatchObject({ status: 1, stderr: '' })
    expect(unlisted.stdout).toContain('(HW_IMAGE_REFUSED)')
  })

  it('lets one user try what is not signed, and shows him made-up data alone', async () => {
    await daemon.stop()
    daemon = await start(['"imagetest"', '"alice"'])
    await expectVerdicts(daemon, 'alice', [
      [[candidate, 'true'], 'allowed'],
      [['-v', '/projects/synthetic:/a', candidate, 'touch', '/a/new'], 'allowed'],
      [
        ['-v', '/projects/a:/a:ro', candidate, 'true'],
        'HW_MOUNT_REFUSED rule "image testers": mounts.allow',
      ],
    ])
    const other = await hepwrapRun('bob', [candidate, 'true'])
    expect(complaint(other)).toContain('(HW_IMAGE_REFUSED)')
  })
})
