import { describe, expect, it } from 'vitest'
import { normalized } from '../../../src/plan/mounts.js'
import { chosen, codeAndText, planOf, userMount } from './plan-fixture.js'
import type { MountRequest } from '../../../src/wire/run-api.js'

const HOME = chosen('home', '/home/ada')
const always = (...entries: string[]) => `[mounts]\nalways = ${JSON.stringify(entries)}\n`

const targets = (mounts: MountRequest[], toml?: string) =>
  planOf({ request: { mounts }, ...(toml === undefined ? {} : { toml }) }).mounts.map(
    (mount) => `${mount.kind === 'caller' ? mount.origin : mount.kind} ${mount.target}`,
  )

describe('what is mounted', () => {
  it.each<[string, MountRequest[], string | undefined, string[]]>([
    ['HOME alone', [HOME], undefined, ['home /home/ada']],
    [
      'cwd elsewhere',
      [HOME, chosen('cwd', '/data/x')],
      undefined,
      ['home /home/ada', 'cwd /data/x'],
    ],
    ['cwd in HOME', [HOME, chosen('cwd', '/home/ada/work')], undefined, ['home /home/ada']],
    ['cwd is HOME', [HOME, chosen('cwd', '/home/ada')], undefined, ['home /home/ada']],
    [
      'cwd beside HOME by name',
      [HOME, chosen('cwd', '/home/adam')],
      undefined,
      ['home /home/ada', 'cwd /home/adam'],
    ],
    ['HOME in cwd', [HOME, chosen('cwd', '/home')], undefined, ['cwd /home']],
    [
      'cwd in a user’s mount',
      [userMount('/data', '/data'), chosen('cwd', '/data/x')],
      undefined,
      ['user /data'],
    ],
    ['user’s on HOME', [HOME, userMount('/x', '/home/ada')], undefined, ['user /home/ada']],
    [
      'user’s in HOME',
      [userMount('/x', '/home/ada/x'), HOME],
      undefined,
      ['home /home/ada', 'user /home/ada/x'],
    ],
    [
      'user’s deep',
      [userMount('/x', '/a/b/c'), userMount('/y', '/a')],
      undefined,
      ['user /a', 'user /a/b/c'],
    ],
    [
      'site first',
      [HOME, userMount('/x', '/x')],
      always('/cvmfs:/cvmfs:ro'),
      ['site /cvmfs', 'user /x', 'home /home/ada'],
    ],
    [
      'cwd in the site’s',
      [chosen('cwd', '/cvmfs/atlas')],
      always('/cvmfs:/cvmfs:ro'),
      ['site /cvmfs'],
    ],
    ['HOME above the site’s', [chosen('home', '/data')], always('/x:/data/x'), ['site /data/x']],
    [
      'no home, no cwd',
      [HOME, chosen('cwd', '/data/x')],
      '[mounts]\nhome = false\ncwd = false\nalways = []',
      [],
    ],
    ['unreachable cwd', [{ ...chosen('cwd', '/data/x'), error: 'EACCES' }], undefined, []],
    ['cwd in the image’s /usr', [chosen('cwd', '/usr/local/x')], undefined, []],
    ['cwd in /lib64', [chosen('cwd', '/lib64')], undefined, []],
    ['cwd in /library', [chosen('cwd', '/library')], undefined, ['cwd /library']],
    ['cwd in /opt', [chosen('cwd', '/opt/x')], undefined, ['cwd /opt/x']],
    ['cwd /', [chosen('cwd', '/')], undefined, []],
    [
      'odd cwd',
      [chosen('cwd', '/a/../etc'), chosen('home', 'x'), chosen('cwd', '/a\0')],
      undefined,
      [],
    ],
  ])('%s', (_what, mounts, toml, expected) => expect(targets(mounts, toml)).toEqual(expected))

  it('keeps source, descriptor and mode', () => {
    const mounts = [{ ...userMount('/my data', '/x'), read_only: true }]
    expect(planOf({ request: { mounts } }).mounts).toEqual([
      { kind: 'caller', source: '/my data', fd: 9, target: '/x', readOnly: true, origin: 'user' },
    ])
    expect(planOf({ toml: always('/a:/b:ro?', '/c:/d') }).mounts).toEqual([
      { kind: 'site', source: '/a', target: '/b', readOnly: true, optional: true },
      { kind: 'site', source: '/c', target: '/d', readOnly: false, optional: false },
    ])
    const tmpfs = [{ target: '/t//u/', size_bytes: 5, mode: 0o700 }]
    expect(planOf({ request: { tmpfs } }).mounts).toEqual([
      { kind: 'tmpfs', target: '/t/u', sizeBytes: 5, mode: 0o700 },
    ])
  })
})

describe('a user’s mount is refused', () => {
  it.each([
    ['', 'HW_MOUNT_TARGET mount target "" is not an absolute path'],
    ['data', 'HW_MOUNT_TARGET'],
    ['/', 'HW_MOUNT_TARGET mount target "/" is reserved'],
    ['//', 'HW_MOUNT_TARGET'],
    ['/a/..', 'HW_MOUNT_TARGET'],
    ['/a/../proc', 'HW_MOUNT_TARGET mount target "/a/../proc" is reserved'],
    ['/proc/', 'HW_MOUNT_TARGET'],
    ['/proc/self/fd', 'HW_MOUNT_TARGET'],
    ['/sys/fs/cgroup', 'HW_MOUNT_TARGET'],
    ['/dev', 'HW_MOUNT_TARGET'],
    ['/dev/shm', 'HW_MOUNT_TARGET'],
    ['/./dev//shm', 'HW_MOUNT_TARGET'],
    ['/.hepwrap', 'HW_MOUNT_TARGET'],
    ['/x/../.hepwrap/init', 'HW_MOUNT_TARGET'],
    ['/.hepwrap-0123/x', 'HW_MOUNT_TARGET'],
    ['/etc', 'HW_MOUNT_TARGET'],
    ['/etc/passwd', 'HW_MOUNT_TARGET'],
    ['/etc/group/x', 'HW_MOUNT_TARGET'],
    ['/a\0', 'HW_MOUNT_TARGET mount target "/a\\u0000" holds a NUL'],
    [`/${'x'.repeat(256)}`, 'HW_MOUNT_TARGET'],
    ['/cvmfs', 'HW_MOUNT_TARGET mount target "/cvmfs" is in the way of the site'],
    ['/cvmfs/atlas', 'HW_MOUNT_TARGET'],
    [
      '/site',
      'HW_MOUNT_TARGET mount target "/site" is in the way of the site\'s own mount at "/site/x"',
    ],
  ])('on %j', (target, expected) => {
    const toml = always('/cvmfs:/cvmfs:ro', '/x:/site/x')
    const asBind = { mounts: [userMount('/x', target)] }
    const asTmpfs = { tmpfs: [{ target }] }
    expect(codeAndText(() => planOf({ request: asBind, toml }))).toContain(expected)
    expect(codeAndText(() => planOf({ request: asTmpfs, toml }))).toContain(expected)
  })

  it.each(['/procs', '/devices', '/etc/passwd2', '/etc/x', '/hepwrap', '/a/.hepwrap', '/proc2/x'])(
    'not on %j, which only looks like one',
    (target) => expect(targets([userMount('/x', target)])).toEqual([`user ${target}`]),
  )

  it('when two have one target, however spelled', () => {
    const mounts = [userMount('/x', '/a/b'), userMount('/y', '/a//c/../b/')]
    expect(codeAndText(() => planOf({ request: { mounts } }))).toBe(
      'HW_MOUNT_TARGET mount target "/a/b" is used twice',
    )
    const request = { mounts: [userMount('/x', '/a')], tmpfs: [{ target: '/a' }] }
    expect(codeAndText(() => planOf({ request }))).toContain('is used twice')
  })

  it.each([
    ['ENOENT', 'HW_MOUNT_SOURCE cannot mount "/x y": no such file or directory'],
    ['EACCES', 'HW_MOUNT_SOURCE cannot mount "/x y": permission denied'],
    ['ELOOP', 'too many symbolic links'],
    ['EWHAT\n', '"EWHAT\\n"'],
    ['constructor', '"constructor"'],
  ])('when the client could not open its source: %j', (error, expected) => {
    const mounts = [{ ...userMount('/x y', '/a'), error }]
    expect(codeAndText(() => planOf({ request: { mounts } }))).toContain(expected)
  })

  it('when there is neither a descriptor nor a reason', () => {
    const mounts: MountRequest[] = [
      { source: '/x', target: '/a', read_only: false, origin: 'user' },
    ]
    expect(codeAndText(() => planOf({ request: { mounts } }))).toContain('HW_REQUEST_INVALID')
  })
})

describe('the working directory', () => {
  const cwd = '/home/ada/work'
  it.each<[string, MountRequest[], string | undefined, string | undefined]>([
    ['is -w, normalised', [], '/a//b/../c/', '/a/c'],
    ['is cwd in HOME', [HOME], undefined, cwd],
    ['is cwd itself', [chosen('cwd', cwd)], undefined, cwd],
    ['is the image’s where cwd is not mounted', [], undefined, undefined],
    ['is cwd below a user’s mount of the same path', [userMount('/home', '/home')], undefined, cwd],
    [
      'is the image’s below a mount of another path',
      [userMount('/x', '/home')],
      undefined,
      undefined,
    ],
    ['is cwd where the user mounts something on it', [userMount('/x', cwd)], undefined, cwd],
  ])('%s', (_what, mounts, workdir, expected) => {
    const request = { mounts, cwd, ...(workdir === undefined ? {} : { workdir }) }
    expect(planOf({ request }).workdir).toBe(expected)
  })

  it('is the deepest mount’s to give', () => {
    const mounts = [HOME, userMount('/x', '/home/ada/work')]
    expect(planOf({ request: { mounts, cwd: '/home/ada/work/deep' } }).workdir).toBeUndefined()
  })
})

it.each([
  ['/', '/'],
  ['//', '/'],
  ['/a/', '/a'],
  ['/a/../..', '/'],
])('normalized(%j) is %j', (path, expected) => expect(normalized(path)).toBe(expected))
