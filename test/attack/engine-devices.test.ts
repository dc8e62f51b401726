// Device nodes that an image brings, on cgroup v1 and v2: in its root, in a directory, behind a VOLUME, with every mode bit set. On
// v2 no device filter of ours stands before them, and on either none before the user's processes beside the container.
import { rmSync, mkdirSync } from 'node:fs'
import { execFileSync } from 'node:child_process'
import { afterAll, beforeAll, expect } from 'vitest'
import { type Daemon, startDaemon } from '../world/daemon.js'
import { eventually } from '../world/eventually.js'
import { startOnTerminal } from '../world/terminal.js'
import { mounts } from '../world/traces.js'
import { as, expectSuccess } from '../world/world.js'
import { attack } from './attack.js'
import { type Attempted, attemptInside, compileAttempts, PROGRAM } from './attempts.js'
import { docker, type Entry, loadImage } from './hostile-image.js'
import { endDaemon } from './hostile-run.js'

const image = 'nodes:test'
const NODES: readonly (readonly [string, Entry['type'], number, number])[] = [
  ['mem', 'character', 1, 1],
  ['kmsg', 'character', 1, 11],
  ['null', 'character', 1, 3],
  ['zero', 'character', 1, 5],
  ['fuse', 'character', 10, 229],
  ['disk-vda', 'block', 254, 0],
  ['disk-sda', 'block', 8, 0],
]
const places = ['', 'opt/nodes/', 'vol/', 'dev/']
const entries = places.flatMap((place) =>
  NODES.map(([name, type, major, minor]): Entry => ({
    path: `${place}${name}`,
    ...(type !== undefined && { type }),
    mode: 0o666,
    device: [major, minor],
  })),
)
const mounted = '/srv/hostile-nodes'
const paths = [
  ...['', 'opt/nodes/', 'vol/', 'mounted/'].flatMap((place) => NODES.map(([n]) => `/${place}${n}`)),
]

let daemon: Daemon
let alice: Attempted
const tries = paths.flatMap((path) => [`open=${path}`, `open-write=${path}`])
const own = ['null', 'zero', 'full', 'random', 'urandom', 'ptmx'].map((name) => `open=/dev/${name}`)

beforeAll(async () => {
  compileAttempts()
  mkdirSync(mounted, { recursive: true })
  for (const [name, type, major, minor] of NODES) {
    const kind = type === 'block' ? 'b' : 'c'
    execFileSync('mknod', ['-m', '666', `${mounted}/${name}`, kind, `${major}`, `${minor}`])
  }
  daemon = await startDaemon({ config: { images: { allow: ['*:test'] } } })
  await loadImage(image, { entries, config: { Volumes: { '/vol': {} } } })
  alice = await attemptInside('alice', [...tries, ...own], ['-v', `${mounted}:/mounted`], image)
})
afterAll(async () => {
  await alice.release()
  rmSync(mounted, { recursive: true })
  await endDaemon(daemon)
})

attack(
  'E68',
  'own',
  "device nodes of an image, its VOLUME or a mounted directory: nodev is in the way, not in the engine's /dev",
  async () => {
    alice.expectRefused(tries, /^EACCES$/)
    expect(own.map((name) => [name, alice.outcomes.get(name)])).toEqual(
      own.map((name) => [name, 'done']),
    )
    const open = mounts(alice.pid).filter(({ options }) => !options.includes('nodev'))
    const types = open.map(({ mountPoint, type }) => `${mountPoint} ${type}`)
    expect(types.filter((mount) => !/^\/proc\//.test(mount)).sort()).toEqual([
      '/dev tmpfs',
      '/dev/pts devpts',
    ])
    expect(
      open.filter(({ root, type }) => type !== 'devpts' && !['/', '/null'].includes(root)),
    ).toEqual([])
    await Promise.resolve()
  },
)

attack('E69', 'own', 'the same nodes, by /proc, from a process beside the container', async () => {
  const root = `/proc/${alice.pid}/root`
  const there = expectSuccess(await as('alice').run(['ls', `${root}/opt/nodes`])).stdout
  expect(there.trim().split('\n').sort()).toEqual(NODES.map(([name]) => name).sort())
  const beside = paths.map((path) => `open=${root}${path}`)
  const { stdout } = expectSuccess(
    await as('alice').srun(['-Q', '-p', 'shared', PROGRAM, ...beside]),
  )
  const opened = stdout.split('\n').filter((line) => line.startsWith('open='))
  expect(opened).toEqual(beside.map((name) => `${name} EACCES`))
})

attack(
  'E70',
  'own',
  'an image whose /dev is a VOLUME or a link gets no device of its own',
  async () => {
    const volume = 'dev-volume:test'
    await loadImage(volume, { entries, config: { Volumes: { '/dev': {}, '/dev/more': {} } } })
    const link = 'dev-link:test'
    await loadImage(link, { entries: [{ path: 'dev', type: 'symlink', to: '/opt/nodes' }] })
    for (const name of [volume, link]) {
      const run = ['hepwrap', 'run', '-v', '/scratch/attack:/attack:ro', name, '/attack/attempts']
      const found = await as('alice').srun([
        '-Q',
        '-p',
        'shared',
        ...run,
        'open=/dev/disk-vda',
        'open=/dev/fuse',
      ])
      expect(found.stdout).not.toContain('done')
      expect(found.status === 125 || found.stdout.includes('open=/dev/fuse E')).toBe(true)
      expect(found.stderr).not.toContain('HW_INTERNAL')
    }
    await docker('rmi', '--force', volume, link)
  },
)

attack(
  'E71',
  'own',
  'what a program needs of /dev is there, with a terminal and without',
  async () => {
    const script = `echo word >/dev/null && head -c 4 /dev/zero | wc -c && head -c 4 /dev/urandom | wc -c`
    const plain = await as('alice').srun([
      '-Q',
      '-p',
      'shared',
      'hepwrap',
      'run',
      image,
      'sh',
      '-c',
      script,
    ])
    expect(expectSuccess(plain).stdout).toBe('4\n4\n')
    const typed = `${script} && tty && echo seen >/dev/tty && echo told >/dev/console && : <>$(tty) && echo whole`
    const run = ['hepwrap', 'run', '-it', image, 'sh', '-c', typed]
    const terminal = await startOnTerminal('alice', ['srun', '-Q', '-p', 'shared', '--pty', ...run])
    const shown = () => terminal.stdoutSoFar().replaceAll('\r', '')
    await eventually(() => shown().includes('whole\n')).catch(() => expect(shown()).toBe('whole'))
    expect(shown()).toContain('4\n4\n/dev/pts/0\nseen\ntold\nwhole\n')
    expect((await terminal.result).status).toBe(0)
  },
)
