// Where mounts land: over what hepwrap, the engine and the image put there, through links of a hostile image, under absurd names.
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect } from 'vitest'
import { holdRun } from '../slurm/held-run.js'
import { hepwrapRun } from '../slurm/job-runs.js'
import { type Daemon, startDaemon, stopDaemons } from '../world/daemon.js'
import { leftovers, mounts, nothing } from '../world/traces.js'
import { attack } from './attack.js'
import { attemptMounts, expectQuietLog, expectRefused, type OddMount } from './mount-attempts.js'

const TRAPS = {
  proc: '/proc',
  sys: '/sys',
  passwd: '/etc/passwd',
  dev: '/dev',
  up: '../../../../../../../srv',
}
let daemon: Daemon
let home = ''

beforeAll(async () => {
  importTraps()
  daemon = await startDaemon({ config: { images: { allow: ['busybox:test', 'traps:test'] } } })
  home = mkdtempSync('/home/alice/targets-')
  mkdirSync(join(home, 'dir'))
  writeFileSync(join(home, 'file'), 'root::0:0::/:/bin/sh\n')
  for (const name of ['', 'dir', 'file']) chownSync(join(home, name), 2001, 2001)
})
afterAll(async () => {
  rmSync(home, { recursive: true, force: true })
  expect(await leftovers()).toEqual(nothing)
  await stopDaemons()
  expectQuietLog(daemon)
  execFileSync('docker', ['rmi', 'traps:test'])
})

/** busybox with links at the root that lead where no mount may land. */
function importTraps(): void {
  const root = mkdtempSync('/srv/traps-')
  const id = execFileSync('docker', ['create', 'busybox:test', 'true'], { encoding: 'utf8' }).trim()
  execFileSync('sh', ['-c', `docker export ${id} | tar -x -C ${root}; docker rm ${id}`])
  for (const [name, target] of Object.entries(TRAPS))
    symlinkSync(target, join(root, `evil-${name}`))
  execFileSync('sh', [
    '-c',
    `tar -c -C ${root} . | docker import - docker.io/library/traps:test; rm -rf ${root}`,
  ])
}

const dirTo = (target: string): OddMount => ({ how: 'path', path: join(home, 'dir'), target })
const fileTo = (target: string): OddMount => ({ how: 'path', path: join(home, 'file'), target })
const hostFiles = () =>
  ['/etc/passwd', '/etc/group', '/etc/shadow'].map((path) => readFileSync(path, 'utf8'))

attack(
  'M11',
  'CVE-2019-16884',
  'reserved targets in odd spellings, by bind and by tmpfs',
  async () => {
    const targets = [
      ...[
        '/etc/./passwd',
        '//etc//passwd',
        '/a/../etc/passwd',
        '/etc/passwd/',
        '/etc/passwd/x',
        '/etc/group/.',
      ],
      ...[
        '/proc/',
        '/./proc/self',
        '/x/../../proc',
        '/proc/sys/kernel/core_pattern',
        '/sys/fs/../x',
        '/sys',
      ],
      ...[
        '/dev/./null',
        '/dev/pts/0',
        '/dev/shm',
        '/.hepwrap',
        '/.hepwrap-0/gate',
        '/x/../.hepwrapper',
      ],
      ...['/..', '/.', '/../..', '', 'etc', './x', '../x', '/t\0/etc'],
    ]
    const binds = targets.map((target) => ({
      mounts: [target.includes('passwd') ? fileTo(target) : dirTo(target)],
    }))
    const tmpfs = targets.map((target) => ({ mounts: [], request: { tmpfs: [{ target }] } }))
    const outcomes = await attemptMounts('alice', [...binds, ...tmpfs])
    const labels = [...targets, ...targets].map((target) => ({ how: target }))
    expectRefused(daemon, labels, outcomes, ['HW_MOUNT_TARGET'])
  },
)

attack(
  'M12',
  'CVE-2019-19921, CVE-2023-28642',
  'targets through links of the image to /proc, to passwd and out of the container',
  async () => {
    const before = hostFiles()
    const names = [
      'proc',
      'proc/self',
      'proc/self/attr',
      'proc/sys/kernel',
      'up',
      'up/made',
      'up/made/deep',
    ]
    const files = ['proc/version', 'passwd', 'proc/sys/kernel/core_pattern', 'up/made-file']
    const all = [
      ...names.map((name) => dirTo(`/evil-${name}`)),
      ...files.map((name) => fileTo(`/evil-${name}`)),
    ]
    const request = { image: 'traps:test', command: ['cat', '/proc/self/mountinfo'] }
    const outcomes = await attemptMounts(
      'alice',
      all.map((mount) => ({ mounts: [mount], request })),
    )
    for (const [index, { exit, stdout, code }] of outcomes.entries()) {
      const label = `${all[index]!.target} ${code ?? ''}`
      expect([0, 125], label).toContain(exit)
      const hers = stdout.split('\n').filter((line) => line.includes(' /home/alice'))
      expect(
        hers.filter((line) => / \/proc/.test(line)),
        label,
      ).toEqual([])
    }
    expect(hostFiles()).toEqual(before)
    expect(readdirSync('/srv').filter((name) => name.startsWith('made'))).toEqual([])
  },
)

attack(
  'M13',
  'own',
  'target names with newlines, commas, quotes, escapes, and of absurd length and depth',
  async () => {
    const names = [
      'a\nb',
      'a,b',
      'a:b:ro',
      '"',
      "'",
      '\\',
      '$(id)',
      '%s%n',
      'a\tb',
      'a b',
      'ü',
      '\u202e',
      '\x1b[2J',
      '-v',
      '*',
      ',source=/,x=',
    ]
    const targets = [
      ...names.map((name) => `/t/${name}`),
      `/${'x'.repeat(255)}`,
      `/${'a/'.repeat(100)}b`,
      `/${'a/'.repeat(2000)}b`,
      `/${`${'y'.repeat(250)}/`.repeat(16)}z`,
    ]
    const outcomes = await attemptMounts(
      'alice',
      targets.map((target, index) => ({
        mounts: [dirTo(target)],
        request: { command: ['sh', '-c', 'touch "$0/made-$1"', target, String(index)] },
      })),
    )
    for (const [index, { exit, code, stderr }] of outcomes.entries()) {
      const label = JSON.stringify({ target: targets[index]!.slice(0, 50), code, stderr })
      if (index < names.length + 2) expect(exit, label).toBe(0)
      else expect([0, 1, 125, 126], label).toContain(exit)
      // What was mounted is what was asked for, under whatever name; nothing else was made.
      expect(existsSync(join(home, 'dir', `made-${index}`)), label).toBe(exit === 0)
    }
    expect(existsSync('/t')).toBe(false)
  },
)

attack('M14', 'Docker', 'a file over a directory and a directory over a file', async () => {
  const all = [fileTo('/tmp'), dirTo('/bin/busybox'), fileTo('/bin'), dirTo('/etc/hostname')]
  const outcomes = await attemptMounts(
    'alice',
    all.map((mount) => ({ mounts: [mount] })),
  )
  for (const { exit, code } of outcomes)
    expect({ exit, code }).toMatchObject({
      exit: 125,
      code: expect.stringMatching(/^HW_(ENGINE_FAILED|MOUNT_TARGET)$/) as string,
    })
  expect(await leftovers()).toEqual(nothing)
  expect(readFileSync(join(home, 'file'), 'utf8')).toBe('root::0:0::/:/bin/sh\n')
})

attack(
  'M15',
  'Sarus',
  'the same target twice, spelt in two ways, by bind and by tmpfs',
  async () => {
    const pairs = [
      ['/m', '/m'],
      ['/m', '/m/'],
      ['/m', '//m/.'],
      ['/a/m', '/a/b/../m'],
    ] as const
    const binds = pairs.map(([one, other]) => ({ mounts: [dirTo(one), fileTo(other)] }))
    const mixed = pairs.map(([one, other]) => ({
      mounts: [dirTo(one)],
      request: { tmpfs: [{ target: other }] },
    }))
    const twice = pairs.map(([one, other]) => ({
      mounts: [],
      request: { tmpfs: [{ target: one }, { target: other }] },
    }))
    const all = [...binds, ...mixed, ...twice]
    const labels = all.map((_, index) => ({ how: String(index) }))
    expectRefused(daemon, labels, await attemptMounts('alice', all), ['HW_MOUNT_TARGET'])
  },
)

attack(
  'M16',
  'own',
  'mounts without number: 257 are refused, and 256 with 64 tmpfs leave nothing behind',
  async () => {
    const descriptors = () => readdirSync(`/proc/${daemon.pid}/fd`).length
    const before = descriptors()
    const many = (count: number) =>
      Array.from({ length: count }, (_, index) => dirTo(`/many/${index}`))
    const tmpfs = (count: number) =>
      Array.from({ length: count }, (_, index) => ({ target: `/t/${index}` }))
    // A placeholder and, over it, hers.
    const count = ['sh', '-c', 'grep -o " /many/[0-9]* " /proc/self/mountinfo | sort -u | wc -l']
    const [tooMany, tooMuch, most] = await attemptMounts('alice', [
      { mounts: many(257) },
      { mounts: [], request: { tmpfs: tmpfs(65) } },
      { mounts: many(256), request: { tmpfs: tmpfs(64), command: count } },
    ])
    expect(tooMany).toMatchObject({ exit: 125, code: 'HW_REQUEST_INVALID' })
    expect(tooMuch).toMatchObject({ exit: 125, code: 'HW_REQUEST_INVALID' })
    expect(most).toMatchObject({ exit: 0, stdout: '256\n' })
    expect(await leftovers()).toEqual(nothing)
    expect(descriptors()).toBeLessThanOrEqual(before + 1)
  },
)

attack(
  'M17',
  'own',
  'what the host mounts later, or has shared, does not pass between her container and the host',
  async () => {
    const [source, sub] = [join(home, 'dir'), join(home, 'dir/later')]
    mkdirSync(sub)
    const known = new Set(mounts().map(({ mountPoint }) => mountPoint))
    const run = await holdRun('alice', ['srun', '-Q', '-p', 'shared'], ['-v', `${source}:/m`])
    const fresh = mounts().flatMap(({ mountPoint }) => (known.has(mountPoint) ? [] : [mountPoint]))
    execFileSync('mount', ['-t', 'tmpfs', 'later', sub])
    const inside = readFileSync(`/proc/${run.payloadPid}/mountinfo`, 'utf8').split('\n')
    execFileSync('umount', [sub])
    await run.release()
    rmSync(sub, { recursive: true })
    expect(fresh.filter((path) => !/^\/(var\/lib|run)\/(docker|containerd)\//.test(path))).toEqual(
      [],
    )
    const there = inside.filter((line) => line.includes(' /m'))
    expect(there.filter((line) => line.includes('/home/alice'))).toHaveLength(1)
    expect(there.filter((line) => !line.includes('/places/'))).toHaveLength(1)
    // The image's own layers and the cgroups may follow the host; nothing of the user's does, and nothing goes out.
    expect(
      inside.filter((line) => line.includes('/home/alice') && /(shared|master):/.test(line)),
    ).toEqual([])
    expect(inside.filter((line) => / shared:/.test(line))).toEqual([])
  },
)

attack(
  'M18',
  'Charliecloud',
  'tmpfs that are set-user-ID, executable or hold devices, and programs in them',
  async () => {
    const options = [
      '--tmpfs',
      '/t:mode=4777,size=4m',
      '--mount',
      'type=tmpfs,dst=/u,tmpfs-mode=7777',
    ]
    const run = await holdRun('alice', ['srun', '-Q', '-p', 'shared'], options)
    const made = mounts(run.payloadPid).filter(({ mountPoint }) =>
      ['/t', '/u'].includes(mountPoint),
    )
    expect(made).toHaveLength(2)
    for (const { options: flags } of made)
      expect(flags).toEqual(expect.arrayContaining(['nosuid', 'nodev', 'noexec']))
    await run.release()
    const script = 'cp /bin/busybox /t/id; chmod 6755 /t/id; mknod /t/null c 1 3; /t/id -u; echo $?'
    const { stdout } = await hepwrapRun('alice', [...options, 'busybox:test', 'sh', '-c', script], {
      slurm: ['-p', 'shared'],
    })
    expect(stdout).toBe('126\n')
  },
)

attack(
  'M19',
  'Podman',
  'hers in /etc beside passwd: hidden as the image has them, or written by hepwrap, on the host unchanged',
  async () => {
    const before = hostFiles()
    chmodSync(join(home, 'file'), 0o777)
    const names = [
      'shadow',
      'sudoers',
      'ld.so.preload',
      'nsswitch.conf',
      'hostname',
      'hosts',
      'resolv.conf',
    ]
    const all = names.map((name) => fileTo(`/etc/${name}`))
    const command = ['sh', '-c', 'for f in /etc/*; do echo x >>$f; done 2>/dev/null; id -u']
    const outcomes = await attemptMounts(
      'alice',
      all.map((mount) => ({ mounts: [mount], request: { command } })),
    )
    for (const { exit, stdout } of outcomes)
      expect({ exit, stdout }).toEqual({ exit: 0, stdout: '2001\n' })
    expect(hostFiles()).toEqual(before)
    expect(
      ['/etc/hostname', '/etc/hosts', '/etc/resolv.conf'].filter((path) =>
        /^x$/m.test(readFileSync(path, 'utf8')),
      ),
    ).toEqual([])
  },
)
