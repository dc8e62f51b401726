// The sweep: what nobody holds goes, what somebody holds stays, and a failure is tried again.
import { describe, expect, it } from 'vitest'
import { newRunId, type ContainerId, type RunId } from '../../../src/base/ids.js'
import type { Engine, OwnContainer } from '../../../src/engine/engine.js'
import { createLiveRuns } from '../../../src/run/live-runs.js'
import { createOrphanReaper } from '../../../src/run/orphans.js'
import { fakeEngine, silentLog, someCaller, someContainer } from './fakes.js'

const container = (digit: string, runId: RunId): OwnContainer => ({
  id: someContainer(digit),
  runId,
  running: true,
})

function node(methods: Partial<Engine> = {}) {
  let containers: OwnContainer[] = []
  let lists = 0
  const removed: string[] = []
  const live = createLiveRuns(0)
  const engine = fakeEngine({
    listOwn: () => {
      lists++
      return Promise.resolve(containers)
    },
    remove: (id) => {
      removed.push(id)
      return Promise.resolve()
    },
    ...methods,
  })
  const reaper = createOrphanReaper(engine, live, silentLog())
  return {
    live,
    reaper,
    removed,
    put: (...list: OwnContainer[]) => (containers = list),
    lists: () => lists,
  }
}

describe('the sweep', () => {
  it('of a daemon that has just begun removes what nobody holds, and only that', async () => {
    const { live, reaper, removed, put } = node()
    const run = live.add({ runId: newRunId(), caller: someCaller(), jobId: undefined })
    const probe = newRunId()
    live.hold(probe)
    put(
      container('a', newRunId()),
      container('b', run.runId),
      container('c', probe),
      container('d', newRunId()),
    )
    await reaper.sweep()
    expect(removed).toEqual([someContainer('a'), someContainer('d')])
  })

  it('asks the engine at once where something is suspected, and otherwise seldom', async () => {
    const { reaper, lists } = node()
    await reaper.sweep()
    await reaper.sweep()
    expect(lists()).toBe(1)
    reaper.suspect()
    await reaper.sweep()
    expect(lists()).toBe(2)
  })

  it('looks now and then without a suspicion, for what nobody could suspect', async () => {
    const { reaper, lists } = node()
    for (let sweep = 0; sweep < 100; sweep++) await reaper.sweep()
    expect(lists()).toBeGreaterThan(1)
    expect(lists()).toBeLessThan(6)
  })

  it('is one at a time', async () => {
    const { reaper, lists } = node()
    await Promise.all([reaper.sweep(), reaper.sweep(), reaper.sweep()])
    expect(lists()).toBe(1)
  })

  it('keeps its suspicion while the engine does not answer', async () => {
    let isDown = true
    const { reaper, removed } = node({
      listOwn: () =>
        isDown ? Promise.reject(new Error('down')) : Promise.resolve([container('a', newRunId())]),
    })
    await reaper.sweep()
    expect(removed).toEqual([])
    isDown = false
    await reaper.sweep()
    expect(removed).toEqual([someContainer('a')])
  })

  it('does not leave the others for one that cannot be removed, and tries that one again', async () => {
    const tried: string[] = []
    const stuck = someContainer('a')
    const { reaper, put } = node({
      remove: (id: ContainerId | string) => {
        tried.push(id)
        return id === stuck
          ? Promise.reject(new Error('device or resource busy'))
          : Promise.resolve()
      },
    })
    put(container('a', newRunId()), container('b', newRunId()))
    await reaper.sweep()
    expect(tried).toEqual([stuck, someContainer('b')])
    await reaper.sweep()
    expect(tried).toHaveLength(4)
  })

  it('that is asked for while one is under way leaves the suspicion for the next', async () => {
    let answer: (list: OwnContainer[]) => void = () => undefined
    let lists = 0
    const { reaper } = node({
      listOwn: () => {
        lists++
        return new Promise((resolve) => (answer = resolve))
      },
    })
    const first = reaper.sweep()
    reaper.suspect() // made after the engine was asked
    answer([])
    await first
    const second = reaper.sweep()
    answer([])
    await second
    expect(lists).toBe(2)
  })
})
