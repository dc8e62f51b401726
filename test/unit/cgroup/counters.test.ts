// What of a leaf's counters on cgroup v2 is told of a run: how they have changed since its gate, and nothing that may be another's.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createCounters, type Counters } from '../../../src/cgroup/counters.js'
import type { Placement } from '../../../src/cgroup/placement.js'
import { makeFakeTree, type FakeTree } from './fake-tree.js'

let tree: FakeTree
let counters: Counters
beforeEach(() => {
  tree = makeFakeTree()
  counters = createCounters()
})
afterEach(() => tree.remove())

const placementOf = (name: string, task = 'task_0'): Placement => {
  const path = join(tree.base, task, name)
  mkdirSync(path, { recursive: true })
  return { version: 2, directories: [{ controller: 'cgroup2', path, own: true }] }
}
const oomKills = (count: number, task = 'task_0') =>
  tree.write({ [`${task}/memory.events.local`]: `oom ${count}\noom_kill ${count}\n` })
const io = (read: number, written: number) =>
  tree.write({ 'task_0/io.stat': `254:0 rbytes=${read} wbytes=${written} rios=1 wios=1\n` })

describe('the counters of a run on cgroup v2', () => {
  it('do not have what its task did before', () => {
    oomKills(1)
    io(5000, 700)
    const run = placementOf('a')
    counters.begin(run)
    expect(counters.end(run)).toMatchObject({ oomKills: 0, ioReadBytes: 0, ioWriteBytes: 0 })
  })

  it('have what has been added since', () => {
    oomKills(1)
    io(5000, 700)
    const run = placementOf('a')
    counters.begin(run)
    oomKills(3)
    io(5096, 701)
    tree.write({ 'task_0/a/cpu.stat': 'user_usec 200\nsystem_usec 100\n' })
    expect(counters.end(run)).toMatchObject({
      cpuUserUsec: 200,
      cpuSystemUsec: 100,
      oomKills: 2,
      ioReadBytes: 96,
      ioWriteBytes: 1,
    })
  })

  it('are the run’s own alone where nobody saw its beginning, or its end for the second time', () => {
    oomKills(1)
    io(5000, 700)
    tree.write({ 'task_0/memory.peak': '4096\n', 'task_0/a/pids.peak': '7\n' })
    const run = placementOf('a')
    const alone = {
      cpuUserUsec: undefined,
      cpuSystemUsec: undefined,
      memoryPeakBytes: undefined,
      ioReadBytes: undefined,
      ioWriteBytes: undefined,
      pidsPeak: 7,
      oomKills: undefined,
    }
    expect(counters.end(run)).toEqual(alone)
    counters.begin(run)
    expect(counters.end(run).oomKills).toBe(0)
    expect(counters.end(run)).toEqual(alone)
  })

  it('say of runs side by side only what is certain', () => {
    oomKills(0)
    io(0, 0)
    const [one, other] = [placementOf('a'), placementOf('b')]
    counters.begin(one)
    counters.begin(other)
    oomKills(2)
    io(10, 20)
    for (const run of [one, other]) {
      const usage = counters.end(run)
      expect(usage).toMatchObject({ oomKills: undefined, oomKillsOfSomebody: 2 })
      expect([usage.ioReadBytes, usage.ioWriteBytes]).toEqual([undefined, undefined])
    }
  })

  it('say of runs side by side that nothing was killed', () => {
    oomKills(4)
    const [one, other] = [placementOf('a'), placementOf('b')]
    counters.begin(one)
    counters.begin(other)
    expect(counters.end(one)).toMatchObject({ oomKills: 0 })
    expect(counters.end(one)).not.toHaveProperty('oomKillsOfSomebody')
  })

  it('are not shared with runs of other tasks, nor with one that has ended', () => {
    oomKills(0)
    oomKills(0, 'task_1')
    const [before, run, elsewhere] = [
      placementOf('a'),
      placementOf('b'),
      placementOf('c', 'task_1'),
    ]
    counters.begin(before)
    counters.end(before)
    counters.begin(run)
    counters.begin(elsewhere)
    oomKills(1)
    expect(counters.end(run)).toMatchObject({ oomKills: 1 })
    expect(counters.end(elsewhere)).toMatchObject({ oomKills: 0 })
  })
})

it('a run on cgroup v1 has counters of its own', () => {
  const run: Placement = {
    version: 1,
    directories: [{ controller: 'memory', path: join(tree.base, 'x'), own: true }],
  }
  tree.write({ 'x/memory.max_usage_in_bytes': '5\n' })
  counters.begin(run)
  expect(counters.end(run)).toMatchObject({ memoryPeakBytes: 5 })
})
