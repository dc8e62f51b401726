// The socket under random bytes: HTTP, frames, and run requests that are nearly right, sent from a job of alice's to the real
// daemon. A fixed number of cases; HEPWRAP_FUZZ=forever (`npm run fuzz`) goes on until something breaks. The seed is printed:
// HEPWRAP_FUZZ_SEED=N says the same again.
import fc from 'fast-check'
import { expect } from 'vitest'
import { eventually } from '../world/eventually.js'
import { expectNothingLeft } from '../world/runs.js'
import { attack } from './attack.js'
import { anyFrames, anyRunRequest } from './fuzz-cases.js'
import { anyHttp } from './fuzz-http.js'
import { attempt, expectBobServed, watchDaemon } from './watched-daemon.js'

const BATCHES = 4
const BATCH_CASES = 75
const isEndless = process.env['HEPWRAP_FUZZ'] === 'forever'
const HOURS = 24 * 3_600_000

const watched = watchDaemon({
  limits: { request_timeout_s: 1 },
  node: { stop_timeout_s: 0, log_level: 'info' },
})

interface Kind {
  readonly arbitrary: fc.Arbitrary<Buffer>
  /** -1: the client ends what it sends. */
  readonly drip: 0 | -1
}

/** Batch by batch, and after each a look at what is left. */
async function fuzz(kinds: readonly Kind[]): Promise<void> {
  await expectBobServed()
  const memory = watched.rssMib()
  const files = watched.openFiles()
  let seed = Number(process.env['HEPWRAP_FUZZ_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
  for (let batch = 0; isEndless || batch < BATCHES; batch++, seed++) {
    const { arbitrary, drip } = kinds[seed % kinds.length]!
    console.log(`fuzz: seed ${seed}, ${batch * BATCH_CASES} cases before`)
    await withSuspects(fc.sample(arbitrary, { seed, numRuns: BATCH_CASES }), async (cases) => {
      await attempt(
        cases.map((start) => ({ start, drip })),
        8,
      )
      await expectNothingLeft(undefined, 10_000)
      watched.expectSound()
    })
    await expectBobServed()
    expect(watched.rssMib()).toBeLessThan(memory + 250)
    // Connections to the engine are kept for a while, as many as were in use at once.
    await eventually(() => watched.openFiles() < files + 20)
  }
}

/** Where a batch fails, each of its cases is tried alone, and the first that fails alone is shown. */
async function withSuspects(cases: Buffer[], check: (cases: Buffer[]) => Promise<void>) {
  try {
    await check(cases)
  } catch (thrown) {
    for (const one of cases)
      await check([one]).catch((cause: unknown) => {
        throw new Error(`counterexample: ${JSON.stringify(one.toString('latin1'))}`, { cause })
      })
    throw thrown
  }
}

const timeoutMs = isEndless ? HOURS : 120_000
// One that is waiting for stdin would wait: of frames, what is sent has an end.
const HTTP: Kind = { arbitrary: anyHttp, drip: 0 }
const FRAMES: Kind = { arbitrary: anyFrames, drip: -1 }
const REQUESTS: Kind = { arbitrary: anyRunRequest, drip: 0 }
/** One after the other, or without end all of them in turn. */
const KINDS = [HTTP, FRAMES, REQUESTS]

attack(
  'F01',
  'fast-check',
  'random HTTP leaves the daemon alive and silent, nothing behind, and others served',
  () => fuzz(isEndless ? KINDS : [HTTP]),
  timeoutMs,
)

attack(
  'F02',
  'fast-check',
  'random frames, before and during a run, do so, too',
  () => fuzz([FRAMES]),
  timeoutMs,
)

attack(
  'F03',
  'fast-check',
  'run requests that are nearly right do so, too',
  () => fuzz([REQUESTS]),
  timeoutMs,
)
