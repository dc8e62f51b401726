// While the command runs: signals to it, the end on request (TERM, grace, KILL), an engine that went away, and the last
// byte of output. Waits on the gate, never on the engine: the kernel closes it with the last breath of PID 1.
import { constants } from 'node:os'
import type { Logger } from '../base/log.js'
import type { Engine } from '../engine/engine.js'
import type { Init, InitReport } from './gate.js'
import { ENDING_SIGNALS, type LiveRun } from './live-runs.js'
import type { OutputPump } from './streams.js'

const { SIGTERM, SIGKILL } = constants.signals

/** How often a still engine is asked whether it lives, once the output has ended before the command. */
const ENGINE_CHECK_MS = 1000
/** How long the engine may be silent about the output of a container that has ended, while the reader keeps up. */
const OUTPUT_IDLE_MS = 10_000
const TICK_MS = 500

export interface Supervised {
  readonly report: InitReport
  /** The client forwarded a signal that usually ends a program. */
  readonly wasSignaled: boolean
}

export async function supervise(
  init: Init,
  pump: OutputPump,
  live: LiveRun,
  engine: Engine,
  graceMs: number,
): Promise<Supervised> {
  let wasSignaled = false
  let killTimer: NodeJS.Timeout | undefined
  live.deliverBy((signal) => {
    if (ENDING_SIGNALS.has(signal)) wasSignaled = true
    if (signal === SIGKILL) init.kill()
    else init.signal(signal)
  })
  const terminate = () => {
    const ms = live.endingAs?.graceMs ?? 0
    if (ms === 0) init.kill()
    else {
      init.signal(SIGTERM)
      killTimer = setTimeout(() => init.kill(), ms)
    }
  }
  if (live.ending.aborted) terminate()
  else live.ending.addEventListener('abort', terminate, { once: true })

  void pump.ended.then(() => watchEngine(init, live, engine, graceMs))
  try {
    return { report: await init.ended, wasSignaled: wasSignaled as boolean }
  } finally {
    clearTimeout(killTimer)
    live.ending.removeEventListener('abort', terminate)
  }
}

/** Output that ends before the command: it closed its stdout and stderr, or the engine went away and nobody reads them. */
async function watchEngine(
  init: Init,
  live: LiveRun,
  engine: Engine,
  graceMs: number,
): Promise<void> {
  let isEnded = false
  void init.ended.then(() => (isEnded = true))
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, ENGINE_CHECK_MS).unref())
    if (isEnded as boolean) return
    try {
      await engine.facts()
    } catch {
      live.end({
        code: 'HW_ENGINE_DOWN',
        message: 'the container engine went away during the run',
        graceMs,
      })
      return
    }
  }
}

/** Waits for the last byte: as long as a slow reader needs it, but not for a reader or an engine that is gone. */
export async function drainOutput(pump: OutputPump, gone: AbortSignal, log: Logger): Promise<void> {
  const ended = pump.ended.then(() => 'ended' as const)
  for (let idleMs = 0; !gone.aborted && idleMs < OUTPUT_IDLE_MS; idleMs += TICK_MS) {
    const first = await Promise.race([ended, tick(TICK_MS, gone)])
    if (first === 'ended') return
    if (pump.isReaderSlow()) idleMs = 0
  }
  if (!gone.aborted) log.warn('the engine did not end the output of a container that has ended')
  pump.discard()
}

const tick = (ms: number, gone: AbortSignal) =>
  new Promise<'tick'>((resolve) => {
    const done = () => {
      clearTimeout(timer)
      gone.removeEventListener('abort', done)
      resolve('tick')
    }
    const timer = setTimeout(done, ms)
    gone.addEventListener('abort', done, { once: true })
  })
