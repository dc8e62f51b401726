import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isInside, openEntrances } from '../../../src/cgroup/entrances.js'
import type { Placement } from '../../../src/cgroup/placement.js'
import type { CgroupRoots } from '../../../src/proc/cgroup-mounts.js'
import { parseCgroups } from '../../../src/proc/cgroup-of.js'

let base: string
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'hepwrap-entrances-'))
})
afterEach(() => rmSync(base, { recursive: true }))

const v1 = (...controllers: string[]): Placement => ({
  version: 1,
  directories: controllers.map((controller) => ({
    controller,
    path: join(base, controller),
    own: controller !== 'freezer',
  })),
})

describe('the entrances', () => {
  it('are the tasks files of all directories, in order, and only those', () => {
    const placement = v1('memory', 'cpu,cpuacct', 'freezer')
    for (const { path } of placement.directories) {
      mkdirSync(path)
      writeFileSync(join(path, 'tasks'), '')
    }
    const opened = openEntrances(placement)
    opened.forEach((fd, index) => writeSync(fd, String(index)))
    opened.forEach((fd) => closeSync(fd))
    expect(
      placement.directories.map(({ path }) => readFileSync(join(path, 'tasks'), 'utf8')),
    ).toEqual(['0', '1', '2'])
  })

  it('are none on v2', () => {
    const directories = [{ controller: 'cgroup2', path: join(base, 'x'), own: true }]
    expect(openEntrances({ version: 2, directories })).toEqual([])
  })

  it('are not made where there are none, nor found by a link', () => {
    mkdirSync(join(base, 'memory'))
    expect(() => openEntrances(v1('memory'))).toThrow('ENOENT')
    symlinkSync('/dev/null', join(base, 'memory', 'tasks'))
    expect(() => openEntrances(v1('memory'))).toThrow('ELOOP')
  })
})

describe('a process is inside', () => {
  const roots: CgroupRoots = {
    v1: new Map(
      ['memory', 'cpu', 'cpuacct', 'freezer'].map((name) => [
        name,
        { mountPoint: `/cg/${name.startsWith('cpu') ? 'cpu' : name}`, root: '/' },
      ]),
    ),
    v2: { mountPoint: '/cg/unified', root: '/' },
  }
  const placement: Placement = {
    version: 1,
    directories: [
      { controller: 'memory', path: '/cg/memory/job/hepwrap-1', own: true },
      { controller: 'cpu,cpuacct', path: '/cg/cpu/hepwrap-1', own: true },
      { controller: 'freezer', path: '/cg/freezer/job', own: false },
    ],
  }
  const at = (memory: string, cpu: string, freezer: string) =>
    parseCgroups(`4:memory:${memory}\n3:cpu,cpuacct:${cpu}\n2:freezer:${freezer}\n0::/x\n`)

  it('when it sits in every directory, and in no other case', () => {
    const [memory, cpu, freezer] = ['/job/hepwrap-1', '/hepwrap-1', '/job'] as const
    expect(isInside(placement, at(memory, cpu, freezer), roots)).toBe(true)
    expect(isInside(placement, at('/docker/1', cpu, freezer), roots)).toBe(false)
    expect(isInside(placement, at(memory, '/', freezer), roots)).toBe(false)
    expect(isInside(placement, at(memory, cpu, '/job/x'), roots)).toBe(false)
    expect(isInside(placement, at('/../job/hepwrap-1', cpu, freezer), roots)).toBe(false)
    expect(isInside(placement, parseCgroups('4:memory:/job/hepwrap-1\n'), roots)).toBe(false)
    expect(isInside(placement, at(memory, cpu, freezer), { v1: new Map(), v2: undefined })).toBe(
      false,
    )
  })

  it('on v2, where there is one directory', () => {
    const directories = [{ controller: 'cgroup2', path: '/cg/unified/s/hepwrap-1', own: true }]
    const inside = (path: string) =>
      isInside({ version: 2, directories }, parseCgroups(`0::${path}\n`), roots)
    expect(inside('/s/hepwrap-1')).toBe(true)
    expect(inside('/s')).toBe(false)
  })
})
