import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { cgroupDirectory, cgroupMounts } from '../../../src/proc/cgroup-mounts.js'
import { parseCgroups, readCgroups } from '../../../src/proc/cgroup-of.js'
import { parseMounts, readMounts } from '../../../src/proc/mount-info.js'

const mountinfo = (name: string) =>
  readFileSync(join(import.meta.dirname, 'fixtures', name), 'utf8')

describe('parseCgroups', () => {
  it('reads v1, co-mounted controllers, named hierarchies and v2', () => {
    const { v1, v2 } = parseCgroups(
      '12:cpu,cpuacct:/slurm\n4:name=systemd:/user.slice\n3:memory:/a:b/c d\n0::/x.scope\n',
    )
    expect(Object.fromEntries(v1)).toEqual({
      cpu: '/slurm',
      cpuacct: '/slurm',
      'name=systemd': '/user.slice',
      memory: '/a:b/c d',
    })
    expect(v2).toBe('/x.scope')
  })

  it('reads its own', () => {
    expect(() => readCgroups('self')).not.toThrow()
    expect(() => readCgroups(4_000_000)).toThrow(/ENOENT/)
  })

  it.each(['nonsense', '1:memory:relative', 'x:memory:/', '0:/'])('throws at %j', (line) => {
    expect(() => parseCgroups(`${line}\n`)).toThrow(line)
  })
})

describe('parseMounts', () => {
  it('undoes escapes and reads tags', () => {
    const [mount] = parseMounts(
      '36 35 98:0 /mnt\\0401 /mnt/a\\040b\\134c rw,noatime shared:3 master:1 propagate_from:2 - fuse.sshfs a\\011b rw,user_id=1000\n',
    )
    expect(mount).toEqual({
      id: 36,
      parentId: 35,
      device: '98:0',
      root: '/mnt 1',
      mountPoint: '/mnt/a b\\c',
      shared: true,
      slave: true,
      fsType: 'fuse.sshfs',
      source: 'a\tb',
      options: ['rw', 'noatime', 'rw', 'user_id=1000'],
      isNoDevices: false,
    })
  })

  it('reads every line of a real node and of this machine', () => {
    expect(parseMounts(mountinfo('mountinfo-hybrid'))).toHaveLength(30)
    expect(readMounts().some(({ mountPoint }) => mountPoint === '/')).toBe(true)
  })

  it('throws at what is no line', () => {
    expect(() => parseMounts('36 35 98:0 / /\n')).toThrow(/98:0/)
  })
})

describe('cgroupMounts', () => {
  it('finds each hierarchy of a hybrid node', () => {
    const { v1, v2 } = cgroupMounts(parseMounts(mountinfo('mountinfo-hybrid')))
    expect([...v1.keys()].sort()).toEqual([
      'blkio',
      'cpu',
      'cpuacct',
      'cpuset',
      'devices',
      'freezer',
      'memory',
      'name=systemd',
      'pids',
    ])
    expect(v1.get('memory')).toEqual({ mountPoint: '/sys/fs/cgroup/memory', root: '/' })
    expect(v2?.mountPoint).toBe('/sys/fs/cgroup/unified')
  })

  it('takes co-mounted controllers as one hierarchy, flags as none, and the widest of several mounts', () => {
    const { v1 } = cgroupMounts(
      parseMounts(
        '1 0 0:1 /docker/x /b rw - cgroup c rw,cpu,cpuacct\n2 0 0:1 / /a rw - cgroup c rw,xattr,cpu,cpuacct,clone_children\n',
      ),
    )
    expect(v1.get('cpu')).toBe(v1.get('cpuacct'))
    expect(v1.get('cpu')).toEqual({ mountPoint: '/a', root: '/' })
    expect(v1.size).toBe(2)
  })
})

describe('cgroupDirectory', () => {
  it.each([
    ['/', '/', '/m'],
    ['/', '/a/b', '/m/a/b'],
    ['/docker/x', '/docker/x', '/m'],
    ['/docker/x', '/docker/x/a', '/m/a'],
    ['/docker/x', '/docker/xy', undefined],
    ['/docker/x', '/', undefined],
    ['/', '/../outside', undefined],
    ['/', '/a/../../b', undefined],
    ['/', 'a', undefined],
  ])('mounted %s: %s is %s', (root, path, expected) => {
    expect(cgroupDirectory({ mountPoint: '/m', root }, path)).toBe(expected)
  })
})
