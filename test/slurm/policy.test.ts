// What the site allows to whom, in real jobs: rules by user, group, partition and account; the verdict asked for without a run;
// every denial in the ledger and the log, with the line that says so.
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DryRun, PolicyShown } from '../../src/wire/policy-api.js'
import { type Daemon, startDaemon, stopDaemons } from '../world/daemon.js'
import { containers, leftovers, nothing } from '../world/traces.js'
import { as, expectSuccess, type User } from '../world/world.js'
import { sendRaw } from './raw-request.js'
import { complaint, hepwrap, hepwrapRun, records } from './job-runs.js'

let daemon: Daemon
beforeAll(async () => {
  daemon = await startDaemon({
    config: {
      images: { allow: ['busybox:test'] },
      mounts: { always: [], read_only: ['/srv/archive'], allow: ['/home', '/srv'] },
      policy: { network: ['host'], ceilings: { tmpfs: '1m', runs_per_user: 5 } },
      rule: [
        { name: 'atlas', groups: ['atlas'], images: { allow: ['...', 'debian:test'] } },
        { name: 'bob', users: ['bob'], network: ['none'], ceilings: { pids: 20 } },
        { name: 'shared', partitions: ['shared'], images: { deny: ['busybox'] } },
        { name: 'elsewhere', nodes: ['gpu*'], images: { allow: ['*'] } },
      ],
    },
  })
  expectSuccess(await as('root').run(['mkdir', '-p', '/srv/archive/2026', '/opt/site']))
})
afterAll(async () => {
  expect(await leftovers()).toEqual(nothing)
  await stopDaemons()
})

/** The line of the configuration that holds this text. */
const lineOf = (text: string) =>
  readFileSync(daemon.configPath, 'utf8')
    .split('\n')
    .findIndex((line) => line.includes(text)) + 1

const run = (user: User, args: string[], slurm: string[] = []) => hepwrapRun(user, args, { slurm })
const newestRefusal = async () => (await records('root', '--state', 'REFUSED')).at(-1)

describe('rules', () => {
  it('by group: an image more for its members, and for nobody else', async () => {
    expectSuccess(await run('alice', ['debian:test', 'true']))
    expectSuccess(await run('alice', ['busybox:test', 'true']))
    const refused = await run('bob', ['debian:test', 'true'])
    expect(refused.status).toBe(125)
    expect(complaint(refused)).toContain('(HW_IMAGE_REFUSED)')
    expect(await newestRefusal()).toMatchObject({
      user: 'bob',
      reason: 'HW_IMAGE_REFUSED',
      rule: `${daemon.configPath}:${lineOf('allow = [ "busybox:test" ]')} [images]: images.allow`,
    })
  })

  it('by user: a network of none, whether or not he asks', async () => {
    const interfaces = ['busybox:test', 'ls', '/sys/class/net']
    expect((await run('bob', interfaces)).stdout).toBe('lo\n')
    const refused = await run('bob', ['--network', 'host', ...interfaces])
    expect(complaint(refused)).toContain('(HW_NETWORK_REFUSED)')
    expect(complaint(await run('alice', ['--network', 'none', ...interfaces]))).toContain(
      '(HW_NETWORK_REFUSED)',
    )
  })

  it('by user: a fork bomb is held by the ceiling, and counted', async () => {
    const bomb = 'i=0; while [ $i -lt 60 ]; do sleep 3 & i=$((i+1)); done; wait'
    const { stderr } = await run('bob', ['--name', 'bomb', 'busybox:test', 'sh', '-c', bomb])
    expect(stderr).toMatch(/fork/)
    const [record] = (await records('bob')).filter(({ name }) => name === 'bomb')
    expect(record?.pids_peak).toBeLessThanOrEqual(20)
    expect(record?.pids_peak).toBeGreaterThan(10)
  })

  it('by partition, as the prolog announces it: a denial that no permission outweighs', async () => {
    const refused = await run('alice', ['busybox:test', 'true'], ['-p', 'shared'])
    expect(complaint(refused)).toContain('images.deny')
    expect(await newestRefusal()).toMatchObject({
      partition: 'shared',
      rule: expect.stringContaining('rule "shared": images.deny "busybox"') as string,
    })
    expectSuccess(await run('alice', ['debian:test', 'true'], ['-p', 'shared']))
  })
})

describe('mounts', () => {
  it.each([
    ['/opt/site', '/x', 'HW_MOUNT_REFUSED', 'mounts.allow'],
    ['/srv/archive', '/x', 'HW_MOUNT_READ_ONLY', 'mounts.read_only "/srv/archive"'],
    ['/srv/archive/2026', '/x', 'HW_MOUNT_READ_ONLY', 'mounts.read_only "/srv/archive"'],
    ['/srv', '/x', 'HW_MOUNT_REFUSED', 'never mounted'], // it holds the daemon's own state, here
  ])('%s:%s: %s', async (source, target, code, rule) => {
    const refused = await run('alice', ['-v', `${source}:${target}`, 'busybox:test', 'true'])
    expect(complaint(refused)).toContain(`(${code})`)
    expect((await newestRefusal())?.rule).toContain(rule)
  })

  it('read-only where it must be is allowed', async () => {
    const args = ['-v', '/srv/archive:/x:ro', 'busybox:test', 'ls', '/x']
    expect(expectSuccess(await run('alice', args)).stdout).toBe('2026\n')
  })

  it('judges what a link leads to, not its name', async () => {
    const links = 'ln -sfn /opt/site ~/out; ln -sfn /srv/archive ~/in'
    expectSuccess(await as('alice').run(['sh', '-c', links]))
    const out = await run('alice', ['-v', '/home/alice/out:/x', 'busybox:test', 'true'])
    expect(complaint(out)).toMatch(/really "\/opt\/site".*HW_MOUNT_REFUSED/)
    const link = ['-v', '/home/alice/in:/x', 'busybox:test', 'true']
    expect(complaint(await run('alice', link))).toContain('(HW_MOUNT_READ_ONLY)')
  })

  it('a cwd in a read-only place is mounted, read-only', async () => {
    const inArchive = ['busybox:test', 'sh', '-c', 'pwd; touch x 2>&1']
    const { stdout } = await hepwrapRun('alice', inArchive, { cwd: '/srv/archive' })
    expect(stdout).toMatch(/^\/srv\/archive\n.*Read-only file system/)
  })

  it('a cwd outside of what is allowed is left out', async () => {
    const { stdout } = await hepwrapRun('alice', ['busybox:test', 'pwd'], { cwd: '/opt/site' })
    expect(stdout).toBe('/\n')
  })

  it('a tmpfs has the site’s ceiling', async () => {
    const size = ['--tmpfs', '/t', 'busybox:test', 'df', '-k', '/t']
    expect(expectSuccess(await run('alice', size)).stdout).toMatch(/\b1024\b/)
    const refused = await run('alice', ['--tmpfs', '/t:size=2m', 'busybox:test', 'true'])
    expect(complaint(refused)).toContain('(HW_LIMIT_ABOVE_SITE)')
  })
})

describe('a verdict without a run', () => {
  const check = async (as: string[], args: string[]) => {
    const result = await hepwrap('root', ['policy', 'check', ...as, '--json', 'run', ...args])
    return { status: result.status, report: JSON.parse(result.stdout) as DryRun }
  }

  it('for the user: each point with its line, and the request; nothing runs, nothing is recorded', async () => {
    const before = (await records('root')).length
    const { status, stdout, stderr } = await run('alice', ['--dry-run', 'debian:test', 'id'])
    expect({ status, stdout }).toEqual({ status: 0, stdout: '' })
    const allow = `${daemon.configPath}:${lineOf('"debian:test"')} rule "atlas": images.allow "debian:test"`
    expect(stderr).toContain(`verdict: allowed\n`)
    expect(stderr).toContain(allow)
    const { body } = /(?<body>\{\n[^]*\n\})/.exec(stderr)!.groups!
    expect(JSON.parse(body!)).toMatchObject({
      User: '2001:2001',
      HostConfig: { CapDrop: ['ALL'], Privileged: false, NetworkMode: 'host' },
    })
    expect(await containers()).toEqual([])
    expect(await records('root')).toHaveLength(before)
  })

  it('for the user: a refusal says the same as the run', async () => {
    const args = ['-v', '/opt/site:/x', 'busybox:test', 'true']
    const dry = await run('alice', ['--dry-run', ...args])
    const wet = await run('alice', args)
    expect(dry.status).toBe(125)
    expect(complaint(dry)).toBe(complaint(wet))
  })

  it('for root: any user, in any partition', async () => {
    const plain = await check(['--as', 'alice'], ['busybox:test', 'true'])
    expect(plain).toMatchObject({ status: 0, report: { verdict: 'allowed' } })
    const denied = await check(['--as', 'alice', '--partition', 'shared'], ['busybox:test', 'true'])
    expect(denied).toMatchObject({ status: 1, report: { refusal: { code: 'HW_IMAGE_REFUSED' } } })
    expect(denied.report.create_request).toBeNull()
    const bobs = await check(['--as', 'bob'], ['debian:test', 'true'])
    expect(bobs).toMatchObject({ status: 1, report: { verdict: 'refused' } })
  })

  it('for root: the request is the one that the user’s own run makes', async () => {
    const { report } = await check(['--as', '2001'], ['-e', 'A=1', 'debian:test', 'id'])
    expect(report.create_request).toMatchObject({
      User: '2001:2001',
      Cmd: ['id'],
      Env: expect.arrayContaining(['A=1', 'HOME=/home/alice', 'USER=alice']) as string[],
      HostConfig: { GroupAdd: ['2001', '3000'], Devices: [], CapDrop: ['ALL'] },
    })
  })

  it('shows what holds for a user', async () => {
    const { stdout } = expectSuccess(
      await hepwrap('root', ['policy', 'show', '--as', 'bob', '--json']),
    )
    const shown = JSON.parse(stdout) as PolicyShown
    expect(shown.user).toMatchObject({ name: 'bob', uid: 2002, groups: [2002, 3001] })
    const networks = shown.settings.filter(({ key }) => key === 'network')
    expect(networks.map(({ value }) => value)).toEqual(['none'])
    expect(networks[0]?.decided_by).toContain('rule "bob": network')
  })

  it.each([
    [['policy', 'check', '--as', 'alice', 'run', 'busybox:test'], 'HW_ROOT_ONLY'],
    [['policy', 'show', '--as', 'root'], 'HW_ROOT_ONLY'],
  ])('is for root: %j', async (args, code) => {
    const { status, stderr } = await hepwrap('alice', args)
    expect(status).toBe(1)
    expect(stderr).toContain(`(${code})`)
  })

  it('is refused to anybody else before a byte of the question is read', async () => {
    const head = `POST /v1/policy/check HTTP/1.1\r\nHost: hepwrap\r\nContent-Type: application/json\r\n`
    const { text } = await sendRaw('alice', `${head}Content-Length: 3000000\r\n\r\n`)
    expect(text).toMatch(/^HTTP\/1\.1 403 [^]*HW_ROOT_ONLY/)
  })

  it.each([
    [['policy'], 0, 'Usage: hepwrap policy'],
    [['policy', 'chek'], 1, 'HW_USAGE'],
    [['policy', 'check', 'run', 'busybox:test'], 1, '--as USER is missing'],
    [['policy', 'check', '--as', 'alice', 'images'], 1, 'HW_USAGE'],
    [['policy', 'show', '--as', 'nosuch'], 1, 'there is no user "nosuch" (HW_NOT_FOUND)'],
    [['policy', 'show', '--as', 'alice', '--acount', 'x'], 1, 'HW_OPTION_UNKNOWN'],
  ])('says what is wrong with %j', async (args, status, text) => {
    const result = await hepwrap('root', args)
    expect(result.status).toBe(status)
    expect(result.stdout + result.stderr).toContain(text)
  })
})

describe('the audit', () => {
  it('has one record and one line of the log for a denial, with the rule', async () => {
    const before = daemon.log().length
    const count = (await records('root', '--state', 'REFUSED')).length
    await run('bob', ['debian:test', 'true'])
    const lines = daemon
      .log()
      .slice(before)
      .filter(({ code, reason }) => code === 'HW_IMAGE_REFUSED' || reason === 'HW_IMAGE_REFUSED')
    expect(lines).toEqual([
      expect.objectContaining({
        uid: 2002,
        state: 'REFUSED',
        rule: expect.stringContaining('images.allow') as string,
      }),
    ])
    expect(await records('root', '--state', 'REFUSED')).toHaveLength(count + 1)
    const own = await records('bob', '--state', 'REFUSED')
    expect(own.every(({ user }) => user === 'bob')).toBe(true)
  })
})

it('one job has no more containers than the site allows, whoever starts them at once', async () => {
  await stopDaemons()
  daemon = await startDaemon({ config: { policy: { ceilings: { runs_per_job: 2 } } } })
  const each = 'hepwrap run busybox:test sleep 2 2>&1 & '
  const { stdout } = await as('alice').srun(['-Q', 'sh', '-c', `${each.repeat(5)} wait`])
  const refused = stdout.match(/job \d+ has 2 containers on this node already.*HW_TOO_MANY_RUNS/g)
  expect(refused).toHaveLength(3)
  expect((await newestRefusal())?.rule).toContain('[policy]: ceilings.runs_per_job')
})

it('a rule that asks for what the prolog does not tell refuses the run, and only then', async () => {
  await stopDaemons()
  const rule = [{ name: 'x', users: ['alice'], accounts: ['physics'], network: ['none'] }]
  daemon = await startDaemon({ config: { rule } })
  const refused = await run('alice', ['busybox:test', 'true'])
  expect(complaint(refused)).toMatch(/rule "x" asks for \(accounts\) \(HW_JOB_UNANNOUNCED\)/)
  expectSuccess(await run('bob', ['busybox:test', 'true']))
})
