// The cgroup room on the real kernel, cgroup v1.
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newRunId } from '../../../src/base/ids.js'
import { killPlacement, pidsOf } from '../../../src/cgroup/kill.js'
import { readJobLimits } from '../../../src/cgroup/limits.js'
import { enterPlacement, makePlacement, planPlacement } from '../../../src/cgroup/placement.js'
import { removePlacement } from '../../../src/cgroup/remove.js'
import { readUsage } from '../../../src/cgroup/usage.js'
import { readCgroups } from '../../../src/proc/cgroup-of.js'
import { writeControl } from '../../../src/cgroup/files.js'
import { eventually } from '../../world/eventually.js'
import { makeOwnTree, type OwnTree } from './own-tree.js'

const MIB = 2 ** 20

describe('a placement on cgroup v1', () => {
  let tree: OwnTree
  beforeAll(() => {
    tree = makeOwnTree()
  })
  afterAll(async () => {
    await tree.remove()
  })

  const make = (limits = {}) => {
    const placement = planPlacement(tree.membership, newRunId(), tree.roots)
    makePlacement(placement, limits)
    return placement
  }
  const pathOf = (placement: ReturnType<typeof make>, controller: string) =>
    placement.directories.find((entry) => entry.controller.split(',').includes(controller))?.path ??
    ''

  it('makes a directory in each hierarchy at the depth of the caller, and takes the caller’s freezer', async () => {
    const placement = make()
    expect(placement.version).toBe(1)
    expect(pathOf(placement, 'memory')).toMatch(/hepwrap-unit-\d+\/leaf\/hepwrap-[0-9a-f]{32}$/)
    expect(pathOf(placement, 'pids')).toMatch(/hepwrap-unit-\d+\/hepwrap-[0-9a-f]{32}$/)
    expect(pathOf(placement, 'freezer')).toBe(tree.leaf('freezer'))
    expect(placement.directories.filter(({ own, path }) => own && !existsSync(path))).toEqual([])
    const cpus = readFileSync(`${pathOf(placement, 'cpuset')}/cpuset.cpus`, 'utf8')
    expect(cpus).toBe(readFileSync(`${tree.leaf('cpuset')}/cpuset.cpus`, 'utf8'))
    expect(JSON.parse(JSON.stringify(placement))).toEqual(placement)
    expect(await removePlacement(placement)).toBe(true)
    expect(placement.directories.filter(({ own, path }) => own && existsSync(path))).toEqual([])
    expect(existsSync(tree.leaf('freezer'))).toBe(true)
    expect(await removePlacement(placement)).toBe(true)
  })

  it('sets limits below the job’s', async () => {
    const placement = make({ memoryBytes: 64 * MIB, cpus: 0.5, pidsMax: 7 })
    const read = (controller: string, file: string) =>
      Number(readFileSync(`${pathOf(placement, controller)}/${file}`, 'utf8'))
    expect(read('memory', 'memory.limit_in_bytes')).toBe(64 * MIB)
    expect(read('cpu', 'cpu.cfs_quota_us')).toBe(50_000)
    expect(read('pids', 'pids.max')).toBe(7)
    expect(() => make({ cpus: 0.001 })).toThrow(/cpus 0\.001/)
    await removePlacement(placement)
  })

  it('lets only the engine’s devices through, and of these only what the job’s filter allows', async () => {
    writeControl(tree.leaf('devices'), 'devices.deny', 'c 1:7 rwm')
    const placement = make()
    const rules = readFileSync(`${pathOf(placement, 'devices')}/devices.list`, 'utf8')
    expect(rules).toContain('c 1:3 rwm\n')
    expect(rules).not.toContain('c 1:7')
    expect(rules).not.toContain('a *:* rwm')
    const opener = await tree.start(
      'for d in null full kmsg fuse hepgpu0 urandom; do (: < /dev/$d) && echo $d; done; sleep 60',
    )
    enterPlacement(placement, opener.pid)
    opener.go()
    await eventually(() => opener.output().endsWith('urandom\n'))
    expect(opener.output()).toBe('null\nurandom\n')
    await killPlacement(placement)
    await removePlacement(placement)
  })

  it('takes a process in, counts it to the end, kills it', async () => {
    const placement = make({ memoryBytes: 256 * MIB })
    const { pid, go } = await tree.start(
      'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; sleep 60 & wait',
    )
    enterPlacement(placement, pid)
    go()
    const { v1 } = readCgroups(pid)
    expect(v1.get('memory')).toMatch(/leaf\/hepwrap-[0-9a-f]{32}$/)
    expect(v1.get('freezer')).toMatch(/leaf$/)
    await eventually(() => pidsOf(placement).length === 2)
    expect(await removePlacement(placement)).toBe(false)
    await killPlacement(placement)
    expect(pidsOf(placement)).toEqual([])
    const usage = readUsage(placement)
    expect(usage.cpuUserUsec).toBeGreaterThan(10_000)
    expect(usage.memoryPeakBytes).toBeGreaterThan(100_000)
    expect(usage.oomKills).toBe(0)
    expect(await removePlacement(placement)).toBe(true)
    expect(readUsage(placement)).toEqual({
      cpuUserUsec: undefined,
      cpuSystemUsec: undefined,
      memoryPeakBytes: undefined,
      ioReadBytes: undefined,
      ioWriteBytes: undefined,
      pidsPeak: undefined,
      oomKills: undefined,
    })
  })

  it('counts kills at the memory limit of the job above', async () => {
    writeControl(tree.leaf('memory'), 'memory.limit_in_bytes', 32 * MIB)
    expect(readJobLimits(tree.membership, tree.roots).memoryBytes).toBeLessThanOrEqual(32 * MIB)
    const placement = make()
    const { pid, go } = await tree.start('exec tail /dev/zero')
    enterPlacement(placement, pid)
    go()
    await eventually(() => (readUsage(placement).oomKills ?? 0) > 0)
    expect(readUsage(placement).memoryPeakBytes).toBeGreaterThan(24 * MIB)
    await killPlacement(placement)
    await removePlacement(placement)
    writeControl(tree.leaf('memory'), 'memory.limit_in_bytes', -1)
  })

  it('removes directories that were made below its own', async () => {
    const placement = make()
    mkdirSync(`${pathOf(placement, 'memory')}/a/b`, { recursive: true })
    expect(await removePlacement(placement)).toBe(true)
    expect(existsSync(pathOf(placement, 'memory'))).toBe(false)
  })

  it('leaves nothing when making fails half way', () => {
    const placement = planPlacement(tree.membership, newRunId(), tree.roots)
    mkdirSync(pathOf(placement, 'blkio')) // the last of them
    expect(() => {
      makePlacement(placement)
    }).toThrow(expect.objectContaining({ code: 'HW_CGROUP_FAILED' }))
    const left = placement.directories.filter(({ own, path }) => own && existsSync(path))
    expect(left.map(({ controller }) => controller)).toEqual(['blkio'])
  })

  it('refuses a process that is gone, and a placement whose directories are not ours', async () => {
    const placement = make()
    expect(() => {
      enterPlacement(placement, 4_000_000)
    }).toThrow(expect.objectContaining({ code: 'HW_CGROUP_FAILED' }))
    const forged = {
      ...placement,
      directories: [{ controller: 'memory', path: tree.top('memory'), own: true }],
    }
    expect(() => {
      makePlacement(forged)
    }).toThrow(expect.objectContaining({ code: 'HW_INTERNAL' }))
    expect(pidsOf(forged)).toEqual([])
    await removePlacement(forged)
    expect(existsSync(tree.top('memory'))).toBe(true)
    await removePlacement(placement)
  })
})
