import { describe, expect, it } from 'vitest'
import { isBelow, objectionTo, type SourceFacts } from '../../../src/mounts/judge.js'
import { parseMounts } from '../../../src/proc/mount-info.js'

const MOUNTS = parseMounts(
  [
    '27 1 254:0 / / rw shared:1 - ext4 /dev/vda rw',
    '28 27 0:20 / /run rw shared:2 - tmpfs tmpfs rw',
    '29 27 0:21 / /proc rw - proc proc rw',
    '30 27 0:22 / /sys rw - sysfs sys rw',
    '31 30 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory',
    '32 27 0:6 / /dev rw - devtmpfs devtmpfs rw',
    '40 27 0:50 / /home rw shared:5 - nfs4 server:/home rw',
    '41 27 254:0 /srv/images /images rw shared:1 - ext4 /dev/vda rw',
    '42 27 0:20 /hepwrap /alias rw - tmpfs tmpfs rw',
    '43 27 0:60 / /cvmfs/a rw - fuse.cvmfs2 cvmfs2 ro,user_id=0,group_id=0,allow_other',
    '44 40 0:61 / /home/alice/remote rw - fuse.sshfs host: rw,user_id=2001,group_id=2001',
    '45 27 0:62 / /ntfs rw - fuseblk /dev/x rw,user_id=0',
    '46 40 0:20 /engine /home/bob/run rw - tmpfs tmpfs rw',
    '47 28 0:50 /alice /run/hepwrap/r/staging/m0 rw master:5 - nfs4 server:/home rw',
  ].join('\n'),
)
const DENIED = ['/run/hepwrap', '/run/engine/docker.sock', '/var/lib/docker', '/srv/images/secret']

const ruled = (paths: readonly string[]) => paths.map((path) => ({ path, decidedBy: '' }))

const judge = (path: string, mountId: number, kind: SourceFacts['kind'] = 'directory') =>
  objectionTo({ path, kind, mountId }, false, {
    mounts: MOUNTS,
    denied: ruled(DENIED),
    allowed: ruled(['/']),
    readOnly: [],
    decidedBy: '',
  })?.text

describe('objectionTo', () => {
  it.each<[string, number, SourceFacts['kind']]>([
    ['/home/alice', 40, 'directory'],
    ['/home/alice/file', 40, 'file'],
    ['/home', 27, 'directory'], // the directory under the mount; no submounts lie below that
    ['/etc/passwd', 27, 'file'],
    ['/etc/shadow', 27, 'file'], // its own mode protects it, inside as outside
    ['/var/lib', 27, 'directory'],
    ['/cvmfs/a/b', 43, 'directory'],
    ['/ntfs', 45, 'directory'],
    ['/run/user/2001', 28, 'directory'],
    ['/run/hepwrapx', 28, 'directory'],
  ])('%s through mount %i', (path, id, kind) => {
    const expected = path === '/var/lib' ? 'would show /var/lib/docker' : undefined
    const shown = path === '/home' ? 'would show /run/engine/docker.sock' : expected
    expect(judge(path, id, kind)).toBe(shown)
  })

  it.each([
    ['/', 27, 'would show /run/hepwrap'],
    ['/run', 28, 'would show /run/hepwrap'],
    ['/run/hepwrap', 28, 'would show /run/hepwrap'],
    ['/run/hepwrap/x/staging/m0', 28, 'would show /run/hepwrap'],
    ['/run/engine', 28, 'would show /run/engine/docker.sock'],
    ['/var/lib/docker/overlay2/x', 27, 'would show /var/lib/docker'],
    ['/alias', 42, 'would show /run/hepwrap'],
    ['/alias/x', 42, 'would show /run/hepwrap'],
    ['/images', 41, 'would show /srv/images/secret'],
    ['/images/secret/key', 41, 'would show /srv/images/secret'],
    ['/home/bob', 40, 'would show /run/engine/docker.sock'],
  ])('denies %s: %s', (path, id, objection) => {
    expect(judge(path, id)).toBe(objection)
  })

  it.each<[string, number, SourceFacts['kind'], RegExp]>([
    ['pipe:[12345]', 13, 'other', /not in the file system of this node/],
    ['socket:[12345]', 9, 'other', /not in the file system/],
    ['anon_inode:[eventpoll]', 15, 'other', /not in the file system/],
    ['/memfd:x (deleted)', 99, 'file', /not in the file system/],
    ['/etc', 99, 'directory', /not in the file system/], // of another mount namespace
    ['(unreachable)/etc', 27, 'directory', /not in the file system/],
    ['/etc', 40, 'directory', /not in the file system/],
    ['/home/alice/x (deleted)', 40, 'directory', /deleted/],
    ['/home/alice/socket', 40, 'other', /neither a directory nor a regular file/],
    ['/proc/1', 29, 'directory', /is on proc/],
    ['/sys/kernel', 30, 'directory', /is on sysfs/],
    ['/sys/fs/cgroup/memory/slurm', 31, 'directory', /is on cgroup/],
    ['/dev', 32, 'directory', /is on devtmpfs/],
    ['/home/alice/remote', 44, 'directory', /uid 2001/],
  ])('refuses %s through mount %i', (path, id, kind, reason) => {
    expect(judge(path, id, kind)).toMatch(reason)
  })

  it('does not take another run’s staged copy of a home for a denied place', () => {
    expect(judge('/home/alice', 40)).toBeUndefined()
  })
})

describe('isBelow', () => {
  it.each([
    ['/a', '/a', true],
    ['/a/b', '/a', true],
    ['/ab', '/a', false],
    ['/a', '/', true],
    ['/a', '/a/b', false],
  ])('%s below %s: %s', (path, ancestor, expected) => {
    expect(isBelow(path, ancestor)).toBe(expected)
  })
})

describe('the site’s own law', () => {
  const law = (keys: Partial<Record<'denied' | 'allowed' | 'readOnly', readonly string[]>>) => ({
    mounts: MOUNTS,
    denied: ruled(keys.denied ?? []),
    allowed: ruled(keys.allowed ?? ['/']),
    readOnly: ruled(keys.readOnly ?? []),
    decidedBy: 'the list',
  })
  const objection = (path: string, isReadOnly: boolean, keys: Parameters<typeof law>[0]) =>
    objectionTo({ path, kind: 'directory', mountId: 27 }, isReadOnly, law(keys))?.code

  it.each([
    ['/data', ['/data'], undefined],
    ['/data/x', ['/data'], undefined],
    ['/data/x', ['/home', '/data'], undefined],
    ['/datax', ['/data'], 'HW_MOUNT_REFUSED'],
    ['/', ['/data'], 'HW_MOUNT_REFUSED'],
    ['/data', [], 'HW_MOUNT_REFUSED'],
  ])('%s where %j is allowed: %s', (path, allowed, expected) =>
    expect(objection(path, false, { allowed })).toBe(expected),
  )

  it.each([
    ['/archive', false, 'HW_MOUNT_READ_ONLY'],
    ['/archive/x', false, 'HW_MOUNT_READ_ONLY'],
    ['/', false, 'HW_MOUNT_READ_ONLY'], // what is above would show it writable
    ['/archive/x', true, undefined],
    ['/archives', false, undefined],
  ])('%s, read-only %s', (path, isReadOnly, expected) =>
    expect(objection(path, isReadOnly, { readOnly: ['/archive'] })).toBe(expected),
  )

  it('denies what is allowed and denied', () =>
    expect(objection('/data/x', true, { allowed: ['/data'], denied: ['/data/x'] })).toBe(
      'HW_MOUNT_REFUSED',
    ))
})
