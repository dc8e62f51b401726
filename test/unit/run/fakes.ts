// Fakes at the seams: what a test does not set throws, so that no test leans on what it does not say.
import { pino } from 'pino'
import type { Clock } from '../../../src/base/clock.js'
import type { ContainerId } from '../../../src/base/ids.js'
import type { Logger } from '../../../src/base/log.js'
import type { Engine, ImageFacts } from '../../../src/engine/engine.js'
import type { Caller } from '../../../src/identity/caller.js'

const unset = (name: string) => () => {
  throw new Error(`${name} is not implemented in this fake`)
}

export const fakeEngine = (methods: Partial<Engine>): Engine => ({
  facts: unset('facts'),
  findImage: unset('findImage'),
  pullImage: unset('pullImage'),
  listImages: unset('listImages'),
  importImage: unset('importImage'),
  removeImage: unset('removeImage'),
  create: unset('create'),
  attach: unset('attach'),
  start: unset('start'),
  wait: unset('wait'),
  resize: unset('resize'),
  kill: unset('kill'),
  remove: unset('remove'),
  listOwn: unset('listOwn'),
  ...methods,
})

export const someImage = (fields: Partial<ImageFacts> = {}): ImageFacts => ({
  id: `sha256:${'1'.repeat(64)}`,
  digest: undefined,
  namedDigests: [],
  digests: [],
  entrypoint: [],
  command: [],
  workdir: '',
  platform: 'linux/amd64',
  sizeBytes: 1,
  ...fields,
})

/** The test's own process as a caller that is alive; no descriptor. */
export const someCaller = (fields: Partial<Caller> = {}): Caller => ({
  uid: 2001,
  gid: 2001,
  groups: [],
  pid: 0x3fffffff,
  pidfd: undefined,
  startTimeTicks: 1,
  umask: 0o022,
  ...fields,
})

export const someContainer = (digit: string): ContainerId => digit.repeat(64) as ContainerId

export interface FakeClock extends Clock {
  advance(ms: number): void
}

export function fakeClock(): FakeClock {
  let ms = 1000
  return { nowMs: () => ms, monotonicMs: () => ms, advance: (by) => void (ms += by) }
}

export const silentLog = (): Logger => pino({ level: 'silent' })

/** Lets everything that is ready run, timers due now included. */
export const turn = () => new Promise<void>((resolve) => setImmediate(resolve))
