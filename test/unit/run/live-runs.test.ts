// Runs that are alive: the first reason to end wins, no signal is lost and none comes twice, and SIGKILL comes always.
import { constants } from 'node:os'
import { describe, expect, it } from 'vitest'
import type { ReasonCode } from '../../../src/base/errors.js'
import { newRunId, type JobId } from '../../../src/base/ids.js'
import { createLiveRuns, type LiveRun } from '../../../src/run/live-runs.js'
import { readProcess } from '../../../src/proc/process.js'
import { someCaller } from './fakes.js'

const { SIGTERM, SIGKILL, SIGINT, SIGUSR1, SIGUSR2, SIGWINCH } = constants.signals
const job = (id: number) => id as JobId

const add = (
  fields: Partial<Pick<LiveRun, 'caller' | 'jobId'>> = {},
  runs = createLiveRuns(1000),
) => runs.add({ runId: newRunId(), caller: someCaller(), jobId: undefined, ...fields })

const because = (code: ReasonCode, graceMs = 0) => ({ code, message: code, graceMs })

/** What the command is given once it can take signals. */
function listen(run: LiveRun): number[] {
  const got: number[] = []
  run.deliverBy((signal) => void got.push(signal))
  return got
}

describe('the end of a run', () => {
  it('has the first reason', () => {
    const run = add()
    expect(run.ending.aborted).toBe(false)
    expect(run.endingAs).toBeUndefined()
    run.end(because('HW_STOPPED', 7))
    run.end(because('HW_JOB_CLEANED'))
    run.forward(SIGTERM)
    expect(run.endingAs).toEqual(because('HW_STOPPED', 7))
    expect(run.ending.reason).toMatchObject({ code: 'HW_STOPPED' })
  })

  it('is told once, to whoever waits, when nothing is left', async () => {
    const runs = createLiveRuns(0)
    const run = add({}, runs)
    let isEnded = false
    void run.ended.then(() => (isEnded = true))
    run.end(because('HW_STOPPED'))
    await Promise.resolve()
    expect(isEnded).toBe(false)
    expect(runs.all()).toEqual([run])
    run.close()
    run.close()
    await run.ended
    expect(runs.all()).toEqual([])
  })
})

describe('a signal', () => {
  it.each(['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGKILL'] as const)(
    'that usually ends a program ends the run before it has one: %s',
    (name) => {
      const run = add()
      run.forward(constants.signals[name])
      expect(run.endingAs).toMatchObject({
        code: 'HW_SIGNALED',
        signal: constants.signals[name],
        graceMs: 0,
      })
      expect(run.ending.aborted).toBe(true)
    },
  )

  it('that does not is kept for the command, in order', () => {
    const run = add()
    for (const signal of [SIGUSR1, SIGWINCH, SIGUSR2, SIGUSR1]) run.forward(signal)
    expect(run.ending.aborted).toBe(false)
    expect(listen(run)).toEqual([SIGUSR1, SIGWINCH, SIGUSR2, SIGUSR1])
  })

  it('is kept by the dozen, not by the million', () => {
    const run = add()
    for (let count = 0; count < 100_000; count++) run.forward(SIGUSR1)
    expect(listen(run)).toHaveLength(64)
  })

  it('goes straight to a command that runs, and ends nothing', () => {
    const run = add()
    const got = listen(run)
    for (const signal of [SIGTERM, SIGINT, SIGKILL, SIGUSR1]) run.forward(signal)
    expect(got).toEqual([SIGTERM, SIGINT, SIGKILL, SIGUSR1])
    expect(run.ending.aborted).toBe(false)
  })
})

describe('SIGKILL at once', () => {
  it('reaches a command that has all the time in the world', () => {
    const run = add()
    const got = listen(run)
    run.end(because('HW_STOPPED', 3_600_000))
    run.killNow()
    expect(got).toEqual([SIGKILL])
  })

  it('reaches a command that begins a moment later', () => {
    const run = add()
    run.end(because('HW_CLIENT_GONE', 3_600_000))
    run.killNow()
    expect(listen(run)).toEqual([SIGKILL])
  })
})

describe('the runs of a node', () => {
  it('are found by job, counted by user, and held against the sweep', () => {
    const runs = createLiveRuns(0)
    const first = add({ jobId: job(1) }, runs)
    const second = add({ jobId: job(1), caller: someCaller({ uid: 7 }) }, runs)
    const outside = add({}, runs)
    expect(runs.ofJob(job(1))).toEqual([first, second])
    expect(runs.ofJob(job(2))).toEqual([])
    expect(runs.countOf(7)).toBe(1)
    expect(runs.countOf(2001)).toBe(2)
    expect(runs.isHeld(outside.runId)).toBe(true)
    outside.close()
    expect(runs.isHeld(outside.runId)).toBe(false)
    expect(runs.countOf(2001)).toBe(1)
  })

  it('are not the only ones that hold a container', () => {
    const runs = createLiveRuns(0)
    const probe = newRunId()
    const hold = runs.hold(probe)
    expect(runs.isHeld(probe)).toBe(true)
    expect(runs.all()).toEqual([])
    hold.release()
    expect(runs.isHeld(probe)).toBe(false)
  })

  it('whose callers are dead are ended, the others are not', () => {
    const runs = createLiveRuns(1234)
    const self = readProcess(process.pid)
    const alive = add(
      { caller: someCaller({ pid: process.pid, startTimeTicks: self?.startTimeTicks ?? 0 }) },
      runs,
    )
    const reused = add({ caller: someCaller({ pid: process.pid, startTimeTicks: 1 }) }, runs)
    const dead = add({}, runs)
    runs.endOrphans()
    expect(alive.endingAs).toBeUndefined()
    for (const run of [reused, dead])
      expect(run.endingAs).toEqual({
        code: 'HW_CLIENT_GONE',
        message: 'the client is gone',
        graceMs: 1234,
      })
  })
})
