// Mounts by descriptor: a client is only a program of the user's, and may pass anything that it can open or is given.
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect } from 'vitest'
import { holdRun } from '../slurm/held-run.js'
import { type Daemon, startDaemon, stopDaemons } from '../world/daemon.js'
import { leftovers, nothing } from '../world/traces.js'
import { as, expectSuccess } from '../world/world.js'
import { attack } from './attack.js'
import {
  attemptEach,
  attemptMounts,
  expectQuietLog,
  expectRefused,
  type OddMount,
  startGiving,
  stopGiving,
} from './mount-attempts.js'

let daemon: Daemon
let home = ''
let bobs = ''

beforeAll(async () => {
  daemon = await startDaemon()
  home = mkdtempSync('/home/alice/odd-')
  chownSync(home, 2001, 2001)
  bobs = mkdtempSync('/home/bob/given-')
  chmodSync(bobs, 0o700)
  mkdirSync(join(bobs, 'open'))
  writeFileSync(join(bobs, 'secret'), 'of bob alone\n', { mode: 0o600 })
  writeFileSync(join(bobs, 'open/letter'), 'for whom he lets in\n')
  for (const path of ['', 'open', 'secret', 'open/letter']) chownSync(join(bobs, path), 2002, 2002)
})
afterAll(async () => {
  rmSync(home, { recursive: true, force: true })
  rmSync(bobs, { recursive: true, force: true })
  expect(await leftovers()).toEqual(nothing)
  await stopDaemons()
  expectQuietLog(daemon)
})

const openFiles = () => readdirSync(`/proc/${daemon.pid}/fd`).length
const REFUSED = ['HW_MOUNT_REFUSED']
const REFUSED_OR_CLOSED = ['HW_MOUNT_REFUSED', 'HW_MOUNT_SOURCE']

attack(
  'M01',
  'CVE-2024-21626',
  'magic links of /proc as sources: root, cwd, exe of others, fd, ns',
  async () => {
    const mounts: OddMount[] = [
      { how: 'path', path: '/proc/self/root' },
      { how: 'path', path: '/proc/self/root/run' },
      { how: 'path', path: '/proc/thread-self/root' },
      { how: 'path', path: `/proc/${daemon.pid}/root` },
      { how: 'path', path: `/proc/${daemon.pid}/cwd` },
      { how: 'path', path: '/proc/1/root' },
      { how: 'path', path: '/proc/1/exe' },
      { how: 'link', path: '/proc/self/root' },
      { how: 'link', path: '/proc/self/exe' },
      { how: 'own', path: '/proc/self/root' },
      { how: 'own', path: '/run/docker.sock' },
      { how: 'path', path: '/proc/self/fd' },
      { how: 'path', path: '/proc/self/ns/mnt' },
      { how: 'read', path: '/proc/self/ns/user' },
      { how: 'read', path: '/proc/self/mem' },
      { how: 'path', path: '/proc/sys/kernel/core_pattern' },
    ]
    expectRefused(daemon, mounts, await attemptEach('alice', mounts), REFUSED_OR_CLOSED)
  },
)

attack(
  'M02',
  'own',
  "another container's tree through /proc/PID/root, cwd and exe of its processes",
  async () => {
    const run = await holdRun('alice', ['srun', '-Q', '-p', 'shared'])
    const mounts = [run.initPid, run.payloadPid].flatMap((pid) =>
      ['root', 'root/etc', 'cwd', 'exe'].map((name) => ({
        how: 'path',
        path: `/proc/${pid}/${name}`,
      })),
    )
    const outcomes = await attemptEach('alice', mounts)
    expectRefused(daemon, mounts, outcomes, REFUSED_OR_CLOSED)
    await run.release()
  },
)

attack(
  'M03',
  'own',
  'descriptors of things that have no path: pipe, socket, memfd, eventfd, epoll, pidfd',
  async () => {
    const before = openFiles()
    const kinds = ['pipe', 'socket', 'memfd', 'eventfd', 'epoll', 'pidfd', 'daemon']
    const mounts: OddMount[] = [
      ...kinds.map((how) => ({ how })),
      { how: 'tmpfile', path: home },
      { how: 'gone-file', path: join(home, 'gone-file') },
    ]
    expectRefused(daemon, mounts, await attemptEach('alice', mounts), REFUSED)
    expect(openFiles()).toBeLessThanOrEqual(before + 1)
  },
)

attack(
  'M04',
  'CVE-2024-21626',
  'descriptors of directories that are deleted, or deleted and made anew',
  async () => {
    const mounts = ['gone', 'again'].map((how) => ({ how, path: join(home, how) }))
    expectRefused(daemon, mounts, await attemptEach('alice', mounts), REFUSED)
  },
)

attack(
  'M05',
  'own',
  'a descriptor of a file system that she mounted in a user namespace of her own',
  async () => {
    const meeting = join(home, 'meeting')
    const mount = 'mount -t tmpfs x /mnt && mount --rbind /run /srv && exec "$@"'
    const before = ['unshare', '-Urm', 'sh', '-c', mount, 'sh']
    for (const path of ['/mnt', '/srv', '/srv/docker.sock', '/']) {
      const giver = await startGiving('alice', [meeting, path], { before })
      const mounts = [{ how: 'received', path: meeting }]
      expectRefused(daemon, mounts, await attemptEach('alice', mounts), REFUSED)
      await stopGiving(giver)
    }
  },
)

attack(
  'M06',
  'Charliecloud',
  'what bob passes on by SCM_RIGHTS shows no more than the host shows alice through it',
  async () => {
    // The host's rule: a descriptor leads past the closed directory above it; the permissions of what it names stay.
    const meeting = '/tmp/bob-gives'
    const given: [string, string[], string, string][] = [
      [bobs, [], 'ls: /proc/self/fd/N/: EACCES', ''],
      [join(bobs, 'open'), [], 'letter', 'letter\n'],
      [join(bobs, 'secret'), ['read'], 'readable by the descriptor alone', ''],
    ]
    for (const [path, how, what, seen] of given) {
      const giver = await startGiving('bob', [meeting, path], { how })
      const look =
        'ls /m 2>/dev/null | grep -v ^/m; cat /m /m/secret /m/../secret 2>/dev/null; echo x 2>/dev/null >>/m/letter; :'
      const attempt = {
        mounts: [{ how: 'received', path: meeting }],
        request: { command: ['sh', '-c', look] },
      }
      const [outcome] = await attemptMounts('alice', [attempt])
      expect(outcome, what).toMatchObject({ exit: 0, stdout: seen })
      await stopGiving(giver)
    }
    const { stdout } = expectSuccess(
      await as('bob').run(['cat', `${bobs}/secret`, `${bobs}/open/letter`]),
    )
    expect(stdout).toBe('of bob alone\nfor whom he lets in\n')
  },
)

attack('M07', 'Docker', 'FIFOs, sockets and devices as sources', async () => {
  const fifo = join(home, 'fifo')
  expectSuccess(await as('alice').run(['mkfifo', fifo]))
  writeFileSync('/dev/shm/hers', 'x', { mode: 0o666 })
  const mounts: OddMount[] = [
    { how: 'path', path: fifo },
    { how: 'read', path: fifo },
    { how: 'bound', path: join(home, 'socket') },
    ...['null', 'zero', 'fuse', 'ptmx', 'hepgpu0', 'shm', 'shm/hers', 'mqueue', 'pts'].map(
      (name) => ({
        how: 'path',
        path: `/dev/${name}`,
      }),
    ),
  ]
  expectRefused(daemon, mounts, await attemptEach('alice', mounts), REFUSED)
  rmSync('/dev/shm/hers')
})

attack(
  'M08',
  'own',
  "the engine's socket and storage, and what lies above them, under innocent names",
  async () => {
    const paths = [
      ...[
        '/run/docker.sock',
        '/var/run/docker.sock',
        '/run/../run/./docker.sock',
        '/run',
        '/var/run',
      ],
      ...[
        '/run/containerd',
        '/var/lib/docker',
        '/var/lib',
        '/var',
        '/',
        '/proc/self/root/run/docker.sock',
      ],
    ]
    const mounts = paths.map((path) => ({ how: 'path', path }))
    const outcomes = await attemptEach('alice', mounts)
    expectRefused(daemon, mounts, outcomes, REFUSED_OR_CLOSED)
    expect(outcomes[0]).toMatchObject({
      message: expect.stringContaining('really "/run/docker.sock"') as string,
    })
  },
)

attack(
  'M09',
  'own',
  "hepwrap's own: socket, run and state directory, ledger, job table, init, config",
  async () => {
    const run = await holdRun('bob', ['srun', '-Q', '-p', 'shared'])
    const paths = [
      daemon.socketPath,
      daemon.runDirectory,
      `${daemon.runDirectory}/runs`,
      `${daemon.stateDirectory}/hepwrap-init`,
      `${daemon.runDirectory}/jobs`,
      daemon.stateDirectory,
      `${daemon.stateDirectory}/ledger.db`,
      `${daemon.stateDirectory}/ledger.db-wal`,
      daemon.configPath,
      '/srv',
      ...readdirSync(`${daemon.runDirectory}/runs`).map(
        (id) => `${daemon.runDirectory}/runs/${id}/passwd`,
      ),
    ]
    const mounts = paths.map((path) => ({ how: 'path', path }))
    expectRefused(daemon, mounts, await attemptEach('alice', mounts), REFUSED_OR_CLOSED)
    await run.release()
  },
)

attack(
  'M10',
  'Shifter realpath',
  'hard links, symlinks and chains of them in her home that lead to the engine',
  async () => {
    const script = `cd ${home}; ln /run/docker.sock hard; ln -s /run/docker.sock soft; ln -s soft softer; ln -s / slash
    ln -s /proc/self/cwd/../../../run/docker.sock long; ln -s $PWD/slash/var/run/docker.sock var; :`
    expectSuccess(await as('alice').srun(['-Q', '-p', 'shared', 'sh', '-c', script]))
    const names = ['hard', 'soft', 'softer', 'slash', 'slash/run', 'long', 'var']
    const mounts = names.map((name) => ({ how: 'path', path: join(home, name) }))
    expectRefused(daemon, mounts, await attemptEach('alice', mounts), REFUSED_OR_CLOSED)
    const linked = mounts.map(({ path }) => ({ how: 'link', path }))
    expectRefused(daemon, linked, await attemptEach('alice', linked), REFUSED_OR_CLOSED)
  },
)
