// A run's memory peak on cgroup v2, from a leaf that is not its own. On a real kernel: test/vm.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openMemoryWindow, watchGrowth, type PeakWatch } from '../../../src/cgroup/memory-window.js'
import { ownMemoryBytes } from '../../../src/cgroup/own-memory.js'
import { PAGE_BYTES } from '../../../src/kernel/page-size.js'
import { eventually } from '../../world/eventually.js'
import { makeFakeTree, type FakeTree } from './fake-tree.js'

const MIB = 1 << 20

let tree: FakeTree
let leaf: string
let own: string
beforeEach(() => {
  tree = makeFakeTree()
  leaf = join(tree.base, 'task_0')
  own = join(leaf, 'run')
  mkdirSync(own, { recursive: true })
})
afterEach(() => tree.remove())

/** A kernel that watches by itself. */
function watching(atStartBytes: number) {
  let peak = atStartBytes
  const watch: PeakWatch = { atStartBytes, peakBytes: () => peak, close: () => undefined }
  return { watch: () => watch, rise: (bytes: number) => (peak = bytes) }
}
const stat = (file: number, slab: number, stolenPages: number) =>
  tree.write({
    'task_0/memory.stat': `anon 5\nfile ${file}\ninactive_file ${file}\nactive_file 0\nslab_reclaimable ${slab}\npgsteal ${stolenPages}\n`,
  })

describe('the memory peak', () => {
  it('is what the leaf had at most, without what it had at the gate', () => {
    stat(50 * MIB, MIB, 9)
    const { watch, rise } = watching(60 * MIB)
    const window = openMemoryWindow(leaf, own, { watch })
    rise(160 * MIB)
    expect(window.peakBytes()).toBe(100 * MIB)
    window.close()
  })

  it('does not take page cache away that had to make room', () => {
    stat(50 * MIB, 0, 1000)
    const { watch, rise } = watching(60 * MIB)
    const window = openMemoryWindow(leaf, own, { watch })
    rise(160 * MIB)
    stat(20 * MIB, 0, 1000 + (30 * MIB) / PAGE_BYTES)
    expect(window.peakBytes()).toBe(130 * MIB)
    stat(0, 0, 1000 + (500 * MIB) / PAGE_BYTES) // the run's own cache was reclaimed, too
    expect(window.peakBytes()).toBe(150 * MIB)
    window.close()
  })

  it('is unknown, not 0, where nothing is counted', () => {
    const window = openMemoryWindow(leaf, own)
    expect(window.peakBytes()).toBeUndefined()
    window.close()
    const quiet = openMemoryWindow(leaf, own, { watch: watching(5 * MIB).watch })
    expect(quiet.peakBytes()).toBeUndefined()
    quiet.close()
  })

  it('is that of its own processes from when another run comes', async () => {
    const { watch, rise } = watching(10 * MIB)
    let ownBytes = 20 * MIB
    const window = openMemoryWindow(leaf, own, {
      watch,
      ownBytes: () => Promise.resolve(ownBytes),
    })
    rise(40 * MIB)
    window.share()
    rise(900 * MIB) // the other's
    expect(window.peakBytes()).toBe(30 * MIB)
    ownBytes = 50 * MIB
    await eventually(() => window.peakBytes() === 50 * MIB)
    ownBytes = 5 * MIB
    expect(window.peakBytes()).toBe(50 * MIB)
    window.close()
  })
})

describe('on a kernel whose memory.peak cannot be reset', () => {
  const kernel = (current: number, peak: number) =>
    tree.write({ 'task_0/memory.current': `${current}\n`, 'task_0/memory.peak': `${peak}\n` })
  const open = () => openMemoryWindow(leaf, own, { watch: watchGrowth })

  it('a peak that has grown is of this run', () => {
    kernel(10 * MIB, 80 * MIB)
    const window = open()
    kernel(10 * MIB, 100 * MIB)
    expect(window.peakBytes()).toBe(90 * MIB)
    window.close()
  })

  it('else it is the highest of the samples', async () => {
    kernel(10 * MIB, 80 * MIB)
    const window = open()
    kernel(70 * MIB, 80 * MIB)
    await eventually(() => window.peakBytes() === 60 * MIB)
    kernel(20 * MIB, 80 * MIB)
    expect(window.peakBytes()).toBe(60 * MIB)
    window.close()
  })

  it('nor is there one: Linux before 5.19', async () => {
    tree.write({ 'task_0/memory.current': `${MIB}\n` })
    const window = open()
    tree.write({ 'task_0/memory.current': `${3 * MIB}\n` })
    await eventually(() => window.peakBytes() === 2 * MIB)
    window.close()
  })
})

describe('the memory of a run’s own processes', () => {
  const rollup = (anon: number, shmem: number) =>
    `00400000-7fff000 ---p 00000000 00:00 0 [rollup]\nRss: 999999 kB\nPss: 9999 kB\nPss_Anon: ${anon} kB\nPss_File: 700 kB\nPss_Shmem: ${shmem} kB\n`

  it('is what they map of anonymous and shared memory, each page once', async () => {
    tree.write({
      'task_0/cgroup.procs': '10\n20\n30\n0\n',
      'task_0/run/cgroup.threads': '20\n21\n30\n40\n0\n',
      'proc/10/smaps_rollup': rollup(1000, 1000), // the client
      'proc/20/smaps_rollup': rollup(100, 20),
      'proc/21/smaps_rollup': rollup(100, 20), // a thread of 20
    }) // 30 has ended
    expect(await ownMemoryBytes(leaf, own, join(tree.base, 'proc'))).toBe(120 * 1024)
  })

  it('is nothing of a directory that is gone', async () => {
    expect(await ownMemoryBytes('/nowhere', '/nowhere/run')).toBe(0)
  })
})
