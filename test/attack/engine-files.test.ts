// What an image has in it, against what a run finds there: links that lead out, devices, pipes, false loaders, our own names.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect } from 'vitest'
import { hepwrapRun } from '../slurm/job-runs.js'
import { type Daemon, startDaemon } from '../world/daemon.js'
import { attack } from './attack.js'
import { attemptInside, compileAttempts } from './attempts.js'
import { type Entry, loadImage } from './hostile-image.js'
import { endDaemon, holdHostile, mountAt, nodeMounts, outcomes } from './hostile-run.js'

let daemon: Daemon
beforeAll(async () => {
  compileAttempts()
  daemon = await startDaemon({ config: { images: { allow: ['*:test'] } } })
})
afterAll(() => endDaemon(daemon))

const link = (path: string, to: string): Entry => ({ path, type: 'symlink', to })
const home = () => readdirSync('/home/alice').sort()

attack('E60', 'own', 'an /etc that leads out of the image stays inside of it', async () => {
  const before = [home(), readdirSync('/etc').sort(), nodeMounts()]
  for (const [index, to] of ['/home/alice', '../../../../etc', '/proc/1/root/etc'].entries()) {
    const run = await holdHostile(`etc${index}:test`, { entries: [link('etc', to)] })
    await run.release()
  }
  expect([home(), readdirSync('/etc').sort(), nodeMounts()]).toEqual(before)
})

attack(
  'E61',
  'own',
  "passwd and group that are links: ours is shown, the node's are not touched",
  async () => {
    const before = readFileSync('/etc/passwd', 'utf8')
    const targets = ['/etc/../../../../etc/shadow', '/proc/self/environ', '/tmp/nothing']
    for (const [index, to] of targets.entries()) {
      await loadImage(`names${index}:test`, {
        entries: [link('etc/passwd', to), link('etc/group', to)],
      })
      const { stdout } = await hepwrapRun('alice', [`names${index}:test`, 'cat', '/etc/passwd'], {
        slurm: ['-p', 'shared'],
      })
      expect(stdout).not.toContain('slurm')
    }
    expect(readFileSync('/etc/passwd', 'utf8')).toBe(before)
  },
)

attack(
  'E62',
  'own',
  'names that begin with /.hepwrap in an image are in nobody’s way',
  async () => {
    const kinds: Entry[][] = [
      [link('.hepwrap', '/home/alice'), link('.hepwrap-init', '/bin/sh')],
      [{ path: '.hepwrap', body: 'a file' }],
      [
        { path: '.hepwrap', type: 'fifo' },
        { path: '.hepwrap-gate', type: 'fifo' },
      ],
    ]
    for (const [index, entries] of kinds.entries()) {
      const run = await holdHostile(`ours${index}:test`, { entries })
      await run.release()
    }
    expect(home().filter((name) => /init|gate/.test(name))).toEqual([])
  },
)

attack(
  'E63',
  'own',
  "device nodes of the image's own: the device filter is in the way",
  async () => {
    const device = (
      path: string,
      type: 'block' | 'character',
      major: number,
      minor: number,
    ): Entry => ({ path, type, mode: 0o666, device: [major, minor] })
    const entries = [
      device('disk', 'block', 254, 0),
      device('mem', 'character', 1, 1),
      device('kmsg', 'character', 1, 11),
      device('gpu', 'character', 203, 0),
      device('nvidia', 'character', 195, 255),
    ]
    await loadImage('nodes:test', { entries })
    const tries = entries.flatMap(({ path }) => [`open=/${path}`, `open-write=/${path}`])
    const alice = await attemptInside('alice', tries, [], 'nodes:test')
    alice.expectRefused(tries, /^(EPERM|EACCES)$/)
    expect(alice.openFiles().filter((path) => /^\/(disk|mem|kmsg|gpu|nvidia)/.test(path))).toEqual(
      [],
    )
    await alice.release()
  },
)

attack(
  'E64',
  'own',
  'a shell that is a pipe, a device, a directory or a link in a circle: said, not waited for',
  async () => {
    const shells: Entry[] = [
      { path: 'opt/sh', type: 'fifo', mode: 0o777 },
      { path: 'opt/zero', type: 'character', mode: 0o777, device: [1, 5] },
      { path: 'opt/disk', type: 'block', mode: 0o777, device: [254, 0] },
      { path: 'opt/dir', type: 'directory' },
      link('opt/circle', '/opt/circle'),
      link('opt/nowhere', '/../../../bin/python3-of-the-node'),
      { path: 'opt/script', body: '#!/opt/no-such-interpreter\n' },
      { path: 'opt/itself', body: '#!/opt/itself\n' },
      { path: 'opt/empty', body: '' },
      { path: 'opt/text', body: 'no program\n' },
      { path: 'opt/elf', body: '\x7fELF\x02\x01\x01' },
    ]
    await loadImage('shells:test', { entries: shells })
    const ended = await outcomes(
      daemon,
      shells.map(({ path }) => ['shells:test', `/${path}`, '-c', 'true']),
    )
    const codes = ended.map((end) => end.split(' ')[0])
    expect(codes.filter((code) => code !== '126' && code !== '127')).toEqual([])
  },
)

attack(
  'E65',
  'own',
  'what is no program is none: /dev/null, a socket, /proc/1/mem, the gate, a directory of the node',
  async () => {
    const programs = [
      '/dev/null',
      '/dev/zero',
      '/proc/1/mem',
      '/proc/self/status',
      '/proc/kcore',
      '/home/alice',
    ]
    const ended = await outcomes(daemon, [
      ...programs.map((path) => ['busybox:test', path]),
      ...programs.map((path) => ['--entrypoint', path, 'busybox:test', 'x']),
      ['busybox:test', 'sh', '-c', 'exec /.hepwrap*/gate'],
    ])
    expect(ended.filter((end) => !/^12[67] /.test(end))).toEqual([])
    const refused = await outcomes(daemon, [
      ['-v', '/run/munge/munge.socket.2:/program', 'busybox:test', '/program'],
      ['-v', '/dev/null:/program', 'busybox:test', '/program'],
    ])
    expect(refused.filter((end) => !/^125 HW_MOUNT_/.test(end))).toEqual([])
  },
)

attack(
  'E66',
  'like CVE-2019-14271',
  "an image's loader and libraries are not the engine's, nor our init's",
  async () => {
    const evil = { body: '#!/bin/sh\ntouch /scratch/attack/loaded\n', mode: 0o777 }
    const libraries = [
      'lib64/ld-linux-x86-64.so.2',
      'lib/x86_64-linux-gnu/libc.so.6',
      'lib/libnss_files.so.2',
    ]
    const run = await holdHostile('loader:test', {
      entries: [...libraries, 'etc/nsswitch.conf', 'usr/lib/libseccomp.so.2'].map((path) => ({
        path,
        ...evil,
      })),
    })
    expect(readFileSync(`/proc/${run.initPid}/maps`, 'utf8')).not.toMatch(/\.so/)
    expect(existsSync('/scratch/attack/loaded')).toBe(false)
    await run.release()
  },
)

attack(
  'E67',
  'own',
  'a mount of the run is at its own place, whatever the image has there',
  async () => {
    const entries = [
      link('mnt', '/etc'),
      link('srv', '../../../../scratch'),
      { path: 'opt/in', type: 'fifo' } as const,
    ]
    const options = ['-v', '/scratch/attack:/srv/x', '--tmpfs', '/media', '--no-home', '--no-cwd']
    const before = nodeMounts()
    const run = await holdHostile('places:test', { entries }, options)
    expect(mountAt(run.payloadPid, '/scratch/x')?.root).toBe('/scratch/attack')
    expect(existsSync('/scratch/x')).toBe(false)
    expect(nodeMounts()).toEqual(before)
    await run.release()
  },
)
