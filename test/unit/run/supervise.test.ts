// While a command runs: what reaches it, in which order, and when patience ends. Timers are the test's.
import { constants } from 'node:os'
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { newRunId } from '../../../src/base/ids.js'
import type { Engine } from '../../../src/engine/engine.js'
import type { Init, InitReport } from '../../../src/run/gate.js'
import { createLiveRuns, type Ending } from '../../../src/run/live-runs.js'
import type { OutputPump } from '../../../src/run/streams.js'
import { drainOutput, supervise } from '../../../src/run/supervise.js'
import { fakeEngine, silentLog, someCaller } from './fakes.js'

const { SIGTERM, SIGKILL, SIGUSR1, SIGINT } = constants.signals

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  onTestFinished(() => void vi.useRealTimers())
})

const ending = (graceMs: number): Ending => ({ code: 'HW_STOPPED', message: 'stop', graceMs })

function command(engine: Engine = fakeEngine({}), { outputEnds = false } = {}) {
  const got: string[] = []
  let end: (report: InitReport) => void = () => undefined
  const init: Init = {
    pid: 1,
    mountNamespace: () => -1,
    enter: () => Promise.resolve(),
    go: () => undefined,
    signal: (signal) => void got.push(`signal ${signal}`),
    kill: () => void got.push('kill'),
    ended: new Promise((resolve) => (end = resolve)),
  }
  const pump: OutputPump = {
    ended: outputEnds ? Promise.resolve() : new Promise(() => undefined),
    isReaderSlow: () => false,
    discard: () => undefined,
  }
  const live = createLiveRuns(0).add({ runId: newRunId(), caller: someCaller(), jobId: undefined })
  const start = () => supervise(init, pump, live, engine, 5000)
  return { got, end, live, start }
}

describe('a command', () => {
  it('gets the signals that are forwarded, those that came before it too', async () => {
    const { got, end, live, start } = command()
    live.forward(SIGUSR1)
    const done = start()
    live.forward(SIGINT)
    live.forward(SIGKILL)
    expect(got).toEqual([`signal ${SIGUSR1}`, `signal ${SIGINT}`, 'kill'])
    end({ kind: 'signaled', signal: SIGINT })
    expect(await done).toEqual({ report: { kind: 'signaled', signal: SIGINT }, wasSignaled: true })
  })

  it('is not taken for signalled by what does not end programs', async () => {
    const { end, live, start } = command()
    const done = start()
    live.forward(SIGUSR1)
    end({ kind: 'exited', status: 1 })
    expect((await done).wasSignaled).toBe(false)
  })

  it('that is to end gets TERM, its grace, and KILL', async () => {
    const { got, end, live, start } = command()
    const done = start()
    live.end(ending(300))
    expect(got).toEqual([`signal ${SIGTERM}`])
    await vi.advanceTimersByTimeAsync(299)
    expect(got).toHaveLength(1)
    await vi.advanceTimersByTimeAsync(1)
    expect(got).toEqual([`signal ${SIGTERM}`, 'kill'])
    end({ kind: 'killed' })
    expect((await done).wasSignaled).toBe(false)
  })

  it('that ends within its grace is not killed after', async () => {
    const { got, end, live, start } = command()
    const done = start()
    live.end(ending(300))
    end({ kind: 'exited', status: 0 })
    await done
    await vi.advanceTimersByTimeAsync(1000)
    expect(got).toEqual([`signal ${SIGTERM}`])
  })

  it('that is to end without grace is killed at once', async () => {
    const { got, end, live, start } = command()
    const done = start()
    live.end(ending(0))
    expect(got).toEqual(['kill'])
    end({ kind: 'killed' })
    await done
  })

  it('whose end was asked for before it began is ended all the same', async () => {
    const { got, end, live, start } = command()
    live.end(ending(300))
    const done = start()
    expect(got).toEqual([`signal ${SIGTERM}`])
    end({ kind: 'exited', status: 0 })
    await done
  })

  it('has no grace left once the job is cleaned', async () => {
    const { got, end, live, start } = command()
    const done = start()
    live.end(ending(3_600_000))
    live.killNow()
    expect(got).toEqual([`signal ${SIGTERM}`, 'kill'])
    end({ kind: 'killed' })
    await done
  })
})

describe('output that ends before the command', () => {
  it('is the command’s own business while the engine answers', async () => {
    let asked = 0
    const engine = fakeEngine({
      facts: () => {
        asked++
        return Promise.resolve({
          name: '',
          version: '',
          apiVersion: '',
          cgroupDriver: '',
          cgroupVersion: 1,
          registries: { isSecure: {}, insecureRanges: [] },
          platform: '',
        })
      },
    })
    const { end, live, start } = command(engine, { outputEnds: true })
    const done = start()
    await vi.advanceTimersByTimeAsync(3500)
    expect(asked).toBe(3)
    expect(live.endingAs).toBeUndefined()
    end({ kind: 'exited', status: 0 })
    await done
    await vi.advanceTimersByTimeAsync(5000)
    expect(asked).toBe(3)
  })

  it('ends the run where the engine is gone', async () => {
    const engine = fakeEngine({ facts: () => Promise.reject(new Error('down')) })
    const { got, end, live, start } = command(engine, { outputEnds: true })
    const done = start()
    await vi.advanceTimersByTimeAsync(1100)
    expect(live.endingAs).toMatchObject({ code: 'HW_ENGINE_DOWN', graceMs: 5000 })
    expect(got).toEqual([`signal ${SIGTERM}`])
    end({ kind: 'signaled', signal: SIGTERM })
    await done
  })
})

describe('the last bytes', () => {
  const drain = (pump: Partial<OutputPump>) => {
    const gone = new AbortController()
    let isDiscarded = false
    let isDone = false
    const done = drainOutput(
      {
        ended: new Promise(() => undefined),
        isReaderSlow: () => false,
        discard: () => void (isDiscarded = true),
        ...pump,
      },
      gone.signal,
      silentLog(),
    ).then(() => void (isDone = true))
    return { gone, done, isDone: () => isDone, isDiscarded: () => isDiscarded }
  }

  it('are waited for as long as a slow reader needs', async () => {
    let finish: () => void = () => undefined
    const ended = new Promise<void>((resolve) => (finish = resolve))
    const { done, isDone, isDiscarded } = drain({ ended, isReaderSlow: () => true })
    await vi.advanceTimersByTimeAsync(3_600_000)
    expect(isDone()).toBe(false)
    finish()
    await done
    expect(isDiscarded()).toBe(false)
  })

  it('are not waited for where the reader is gone', async () => {
    const { gone, done, isDiscarded } = drain({ isReaderSlow: () => true })
    await vi.advanceTimersByTimeAsync(1000)
    gone.abort()
    await done
    expect(isDiscarded()).toBe(true)
  })

  it('of an engine that never ends its output are given up', async () => {
    const { done, isDone, isDiscarded } = drain({})
    await vi.advanceTimersByTimeAsync(9000)
    expect(isDone()).toBe(false)
    await vi.advanceTimersByTimeAsync(2000)
    await done
    expect(isDiscarded()).toBe(true)
  })
})
