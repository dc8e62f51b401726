// What is known of the engine and its runtime, Docker 20.10.24 and runc 1.1.5 here, which have some of these holes still: what a
// run through hepwrap makes of them.
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect } from 'vitest'
import { type Daemon, startDaemon } from '../world/daemon.js'
import { attack } from './attack.js'
import { openFilesOf } from './attempts.js'
import { loadImage } from './hostile-image.js'
import { endDaemon, holdHostile, inspectOnlyRun, outcomes } from './hostile-run.js'

const ground = '/scratch/attack'
let daemon: Daemon
beforeAll(async () => {
  mkdirSync(ground, { recursive: true })
  daemon = await startDaemon({ config: { images: { allow: ['*:test'] } } })
})
afterAll(() => endDaemon(daemon))

const hashOf = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex')
attack(
  'E01',
  'CVE-2019-5736',
  'neither runc nor our init is overwritten by way of /proc/self/exe',
  async () => {
    const programs = [
      '/usr/sbin/runc',
      '/usr/bin/containerd-shim-runc-v2',
      `${daemon.stateDirectory}/hepwrap-init`,
    ]
    const before = programs.map(hashOf)
    // The engine executes our init only; a program of the image that leads to /proc/self/exe leads to that init.
    await loadImage('exe:test', {
      config: { Entrypoint: ['/proc/self/exe'], Cmd: ['probe-cpu', '1'] },
      entries: [
        { path: 'entry', body: '#!/proc/self/exe\n' },
        { path: 'link', type: 'symlink', to: '/proc/self/exe' },
      ],
    })
    const write =
      'for exe in /proc/*/exe /.hepwrap*/init; do echo owned 2>/dev/null >$exe; done; true'
    const entrypoint = (path: string) => ['--entrypoint', path, 'exe:test', 'sh', '-c', write]
    const runs = [
      ['exe:test'],
      ...['/proc/self/exe', '/entry', '/link', '/proc/1/exe'].map(entrypoint),
    ]
    const ended = await outcomes(daemon, [...runs, entrypoint('/bin/env')])
    // As the command our init is a program that may measure its limits, and refuses everything else.
    const refused = Array<string>(3).fill('125 null')
    const closed = '126 HW_COMMAND_NOT_EXECUTABLE' // of /proc/1 nothing is to be had
    expect(ended).toEqual(['0 null', ...refused, closed, '0 null'])
    expect(programs.map(hashOf)).toEqual(before)
  },
)

attack(
  'E02',
  'CVE-2024-21626',
  'runc 1.1.5 leaks descriptors: none is a working directory (-w /proc/self/fd/N)',
  async () => {
    const numbers = Array.from({ length: 21 }, (_, index) => index)
    const places = [...numbers.map((n) => `/proc/self/fd/${n}`), '/proc/1/fd/8']
    const script = 'cd ../../../../../../scratch/attack && touch escaped; pwd'
    const runs = places.map((place) => ['-w', place, 'busybox:test', 'sh', '-c', script])
    const ended = await outcomes(daemon, runs)
    // The engine is given "/"; init closes what it inherited and then changes directory as the user.
    expect(new Set(ended)).toEqual(new Set(['126 HW_WORKDIR']))
    expect(existsSync(`${ground}/escaped`)).toBe(false)
  },
)

attack(
  'E03',
  'CVE-2024-21626',
  'an image whose WORKDIR is a leaked descriptor starts nowhere',
  async () => {
    const workdirs = [
      '/proc/self/fd/7',
      '/proc/self/fd/8',
      '/proc/self/fd/9',
      '/proc/thread-self/fd/8',
    ]
    for (const [index, WorkingDir] of workdirs.entries())
      await loadImage(`workdir${index}:test`, { config: { WorkingDir } })
    const argv = ['sh', '-c', 'touch ../../../../../../scratch/attack/escaped']
    const runs = workdirs.map((_, index) => [
      '--no-cwd',
      '--no-home',
      `workdir${index}:test`,
      ...argv,
    ])
    const ended = await outcomes(daemon, runs)
    expect(new Set(ended)).toEqual(new Set(['126 HW_WORKDIR']))
    expect(existsSync(`${ground}/escaped`)).toBe(false)
  },
)

attack(
  'E04',
  'CVE-2024-21626',
  'init and command hold no descriptor but the standard three and the gate',
  async () => {
    const run = await holdHostile('plain:test', {})
    expect((await inspectOnlyRun()).Config.WorkingDir).toBe('/')
    expect(readdirSync(`/proc/${run.payloadPid}/fd`)).toEqual(['0', '1', '2'])
    const kinds = openFilesOf(run.initPid).map((path) => path.replace(/:.*/, ''))
    expect(
      kinds.filter((kind) => !['pipe', 'socket', 'anon_inode', '/dev/null'].includes(kind)),
    ).toEqual([])
    await run.release()
  },
)

attack('E05', 'CVE-2022-36109', 'groups that the image gives the user are not his', async () => {
  const group = 'root:x:0:alice,mallory\ndocker:x:999:alice,mallory\ncms:x:3001:alice,mallory\n'
  const run = await holdHostile('groups:test', {
    config: { User: 'mallory' },
    entries: [
      {
        path: 'etc/passwd',
        mode: 0o644,
        body: 'mallory:x:2001:0::/:/bin/sh\nalice:x:2001:0::/:/bin/sh\n',
      },
      { path: 'etc/group', mode: 0o644, body: group },
    ],
  })
  await run.release()
})

attack('E06', 'own', 'an image whose passwd calls alice root makes nobody root', async () => {
  const passwd =
    'alice:x:0:0:root:/root:/bin/sh\n2001:x:0:0::/:/bin/sh\n2001\\:2001:x:0:0::/:/bin/sh\n'
  const run = await holdHostile('passwd:test', {
    config: { User: 'alice' },
    entries: [
      { path: 'etc/passwd', mode: 0o666, body: passwd },
      { path: 'etc/group', mode: 0o666, body: 'alice:x:0:\natlas:x:0:alice\n' },
    ],
  })
  expect((await inspectOnlyRun()).Config.User).toBe('2001:2001')
  await run.release()
})
