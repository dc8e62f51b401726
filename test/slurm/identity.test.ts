// Who a container is: the user who called, no more, and nobody else.
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Daemon, startDaemon, stopDaemons } from '../world/daemon.js'
import { eventually } from '../world/eventually.js'
import { containers, leftovers, nothing, processes } from '../world/traces.js'
import { as, expectSuccess, type User } from '../world/world.js'
import { holdRun } from './held-run.js'

const attackers = '/opt/hepwrap/test/slurm/attackers'
let daemon: Daemon

beforeAll(async () => {
  daemon = await startDaemon()
})
afterAll(async () => {
  await stopDaemons()
  expect(await leftovers()).toEqual(nothing)
})

const inJob = async (user: User, script: string) =>
  expectSuccess(await as(user).srun(['-Q', 'sh', '-c', script])).stdout

describe('ACCEPTANCE 1: uid, gid and groups inside equal those on the host', () => {
  const ids = 'id -u; id -g; id -G'
  it.each(['alice', 'bob'] as const)('for %s, as the container sees it', async (user) => {
    const stdout = await inJob(user, `${ids}; hepwrap run busybox:test sh -c "${ids}"`)
    const lines = stdout.trim().split('\n')
    expect(lines.slice(3)).toEqual(lines.slice(0, 3))
    const groups = { alice: '2001 3000', bob: '2002 3001' }[user]
    expect(lines[2]).toBe(groups)
  })

  it('for alice, as the kernel of the node sees it', async () => {
    const run = await holdRun('alice')
    expect(run.status('Uid')).toBe('2001 2001 2001 2001')
    expect(run.status('Gid')).toBe('2001 2001 2001 2001')
    expect(run.status('Groups').split(' ').map(Number).sort()).toEqual([2001, 3000])
    await run.release()
  })
})

describe('ACCEPTANCE 2: no capabilities, no new privileges, seccomp on', () => {
  const wanted = {
    CapInh: '0000000000000000',
    CapPrm: '0000000000000000',
    CapEff: '0000000000000000',
    CapBnd: '0000000000000000',
    CapAmb: '0000000000000000',
    NoNewPrivs: '1',
    Seccomp: '2',
  }

  it('as the container sees it', async () => {
    const { stdout } = expectSuccess(
      await as('alice').srun(['-Q', 'hepwrap', 'run', 'busybox:test', 'cat', '/proc/self/status']),
    )
    for (const [field, value] of Object.entries(wanted))
      expect(stdout).toMatch(new RegExp(`^${field}:\\s+${value}$`, 'm'))
  })

  it('as the kernel of the node sees it', async () => {
    const run = await holdRun('alice')
    const fields = Object.keys(wanted)
    expect(Object.fromEntries(fields.map((field) => [field, run.status(field)]))).toEqual(wanted)
    await run.release()
  })
})

it('ACCEPTANCE 3: a setuid-root program of the image gains nothing', async () => {
  const script = 'stat -c "%a %u" /bin/privileges; privileges'
  const { stdout } = expectSuccess(
    await as('alice').srun(['-Q', 'hepwrap', 'run', 'setuid:test', 'sh', '-c', script]),
  )
  expect(stdout).toContain('4755 0\n')
  expect(stdout).toContain('uid 2001 euid 2001 gid 2001 egid 2001\n')
  expect(stdout).toMatch(/^CapEff:\s+0000000000000000$/m)
  expect(stdout).toMatch(/^CapPrm:\s+0000000000000000$/m)
})

describe('ACCEPTANCE 4: what only a privileged process may do fails', () => {
  // Each attempt prints its name and "done" or the errno that kept it from being done.
  const attempts = (text: string) =>
    Object.fromEntries(
      text
        .trim()
        .split('\n')
        .map((line) => line.split(' ') as [string, string]),
    )
  let inside: Record<string, string>
  let privileged: Record<string, string>
  let victim: ReturnType<typeof startVictim>
  const startVictim = () => as('alice').start(['sleep', '61'])

  beforeAll(async () => {
    victim = startVictim()
    mkdirSync('/srv/read-only', { recursive: true })
    chmodSync('/srv/read-only', 0o777)
    writeFileSync('/srv/read-only/file', 'kept\n')
    chmodSync('/srv/read-only/file', 0o666)
    const script = ['python3', '/attackers/privileges.py', String(victim.pid)]
    const sources = [
      `${attackers}:/attackers`,
      '/srv/read-only:/read-only',
      '/bin/busybox:/busybox',
    ]
    const mounts = sources.flatMap((source) => ['-v', `${source}:ro`])
    const argv = ['-Q', 'hepwrap', 'run', ...mounts, 'debian:test', ...script]
    inside = attempts(expectSuccess(await as('alice').srun(argv)).stdout)
    const powers = [
      '--cap-add=SYS_ADMIN',
      '--cap-add=SYS_NICE',
      '--cap-add=MKNOD',
      '--cap-add=NET_RAW',
      '--security-opt=seccomp=unconfined',
    ]
    const docker = ['docker', 'run', '--rm', '--network=host', ...powers]
    const control = await as('root').run([...docker, ...mounts, 'debian:test', ...script])
    privileged = attempts(expectSuccess(control).stdout)
  })

  it.each([
    ['mknod', ['EPERM']],
    ['mknod-block', ['EPERM']],
    ['low-port', ['EACCES']],
    ['remount-bind', ['EPERM', 'EACCES']],
    ['remount-root', ['EPERM', 'EACCES']],
    ['mount-proc', ['EPERM', 'EACCES']],
    ['umount', ['EPERM']],
    ['write-read-only', ['EROFS']],
    ['setgroups', ['EPERM']],
    ['seteuid', ['EPERM']],
    ['setegid', ['EPERM']],
    ['setuid', ['EPERM']],
    ['chroot', ['EPERM']],
    ['chown', ['EPERM']],
    ['unshare-user', ['EPERM']],
    ['unshare-mount', ['EPERM']],
    ['setns', ['EPERM', 'EACCES']],
    ['raw-socket', ['EPERM']],
    ['sethostname', ['EPERM']],
    ['nice', ['EPERM', 'EACCES']],
    ['oom-score', ['EACCES', 'EPERM']],
    ['write-sysctl', ['EROFS', 'EACCES']],
    ['write-cgroup', ['EROFS', 'EACCES', 'ENOENT']],
    ['read-init-memory', ['EACCES', 'EPERM']],
    ['list-init-fds', ['EACCES', 'EPERM']],
    ['replace-init', ['EROFS', 'EACCES', 'EBUSY', 'EPERM']],
    ['open-gate', ['ECONNREFUSED', 'EACCES']],
  ])('%s', (name, refusals) => {
    expect(refusals).toContain(inside[name])
  })

  it('though most of it can be done with privileges, by the same program', () => {
    const done = Object.keys(privileged).filter((name) => privileged[name] === 'done')
    expect(done).toEqual(
      expect.arrayContaining(
        'mknod low-port remount-bind write-read-only setgroups seteuid chroot chown unshare-mount raw-socket'.split(
          ' ',
        ),
      ),
    )
  })

  it('signalling a process of the node, which lives on', async () => {
    expect(inside['kill-host']).toBe('ESRCH')
    expect(processes(/^sleep 61$/).map(({ pid }) => pid)).toContain(victim.pid)
    victim.kill('SIGKILL')
    await victim.result
  })
})

describe('ACCEPTANCE 5: umask, cwd, HOME and names are those of the host', () => {
  const look = [
    'umask',
    'pwd',
    'echo "$HOME"',
    'whoami',
    'getent passwd "$(id -u)"',
    'getent passwd alice',
    'getent group 2001 3000 | cut -d: -f1-3',
    'echo "$USER $LOGNAME"',
    'touch made-by-$0 && stat -c "%a %U %G" made-by-$0 && rm made-by-$0',
  ].join(' && ')

  it.each([
    ['0022', '/home/alice'],
    ['0027', '/home/alice/deep down'],
    ['0077', '/scratch'],
  ])('with umask %s in %s', async (umask, cwd) => {
    expectSuccess(await as('alice').run(['mkdir', '-p', cwd], { cwd: '/' }))
    const script = `umask ${umask}; sh -c '${look}' name; hepwrap run debian:test sh -c '${look}' name`
    const { stdout } = expectSuccess(await as('alice').srun(['-Q', 'sh', '-c', script], { cwd }))
    const lines = stdout.trim().split('\n')
    const half = lines.length / 2
    expect(lines.slice(half)).toEqual(lines.slice(0, half))
    expect(lines.slice(half)).toContain(umask)
    expect(lines.slice(half)).toContain(cwd)
  })
})

describe("ACCEPTANCE 6: ps, stop and kill never show or touch another user's container", () => {
  it('by full id, prefix, name or empty string', async () => {
    const run = await holdRun('alice', ['srun', '-Q'], ['--name', 'treasure'])
    const [ours] = await containers()
    const id = ours!.Labels['hepwrap.run']!
    const rows = () => as('bob').run(['hepwrap', 'ps', '-a'])
    expect((await rows()).stdout).not.toMatch(/treasure|alice|2001/)
    expect((await rows()).stdout).not.toContain(id.slice(0, 12))
    for (const wanted of [id, id.slice(0, 12), id.slice(0, 4), 'treasure', '', ours!.Id]) {
      for (const verb of [['stop'], ['kill'], ['kill', '-s', 'TERM']]) {
        const { status, stdout, stderr } = await as('bob').run(['hepwrap', ...verb, wanted])
        expect({ wanted, status, stdout }).toEqual({ wanted, status: 1, stdout: '' })
        expect(stderr).toMatch(/^hepwrap: .*\(HW_(NOT_FOUND|USAGE|OPTION_INVALID)\)\n$/)
      }
    }
    // A container that is not there is told of in the same words as one that is another's.
    const absent = await as('bob').run(['hepwrap', 'stop', 'f'.repeat(32)])
    const foreign = await as('bob').run(['hepwrap', 'stop', id])
    expect(foreign.stderr.replaceAll(id, '')).toBe(absent.stderr.replaceAll('f'.repeat(32), ''))
    expect(processes(/^cat$/).map(({ pid }) => pid)).toContain(run.payloadPid)
    expect((await as('alice').run(['hepwrap', 'ps'])).stdout).toContain('treasure')
    expect((await as('root').run(['hepwrap', 'ps'])).stdout).toContain('treasure')
    await run.release()
  })

  it('nor does acct: a user reads his own records, whatever he asks for', async () => {
    await eventually(() => daemon.ledgerRows().every((row) => row['state'] !== 'RUNNING'))
    for (const filter of [[], ['--user', 'alice'], ['--user', '2001'], ['--state', 'CD']]) {
      const argv = ['hepwrap', 'acct', '--format', 'csv', ...filter]
      const { stdout } = expectSuccess(await as('bob').run(argv))
      expect(stdout.split('\n').filter((line) => line.includes('alice'))).toEqual([])
    }
    const { stdout } = expectSuccess(
      await as('root').run(['hepwrap', 'acct', '--format', 'csv', '--user', 'alice']),
    )
    expect(stdout).toContain('alice')
  })
})
