// Questions that a party has open: who hangs up has not taken his question back, and does not get another turn for it.
import type { AddressInfo } from 'node:net'
import { afterEach, expect, it } from 'vitest'
import { buildApp } from '../../../src/aggregator/app.js'
import type { Aggregator } from '../../../src/aggregator/compose.js'
import { createMetrics } from '../../../src/aggregator/metrics.js'
import { createReaders } from '../../../src/aggregator/readers.js'
import { createSessions } from '../../../src/aggregator/sessions.js'
import { systemClock } from '../../../src/base/clock.js'
import { parseAggregatorConfig } from '../../../src/config/load-aggregator.js'

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()))
})

/** The app over a store whose answers the test gives. */
async function listening() {
  const answers: (() => void)[] = []
  const aggregator = {
    config: parseAggregatorConfig('', 'a.toml'),
    store: { usage: () => new Promise((resolve) => answers.push(() => resolve([]))) },
    verifier: { verify: async () => ({ checkBody: () => undefined }) },
    partyOf: async () => ({ label: 'uid 2001', uid: 2001, user: null, isOperator: false }),
    sessions: createSessions(systemClock),
    metrics: createMetrics({
      storeKind: 'fake',
      clock: systemClock,
      bytesInFlight: () => 0,
      ledgers: async () => [],
    }),
    readers: createReaders(2),
    page: new Map(),
    noteRefusal: () => undefined,
    scheme: 'MUNGE',
  } as unknown as Aggregator
  const app = buildApp(aggregator, undefined)
  await app.listen({ host: '127.0.0.1', port: 0 })
  closing.push(() => app.close())
  const { port } = app.server.address() as AddressInfo
  const ask = (signal?: AbortSignal) =>
    fetch(`http://127.0.0.1:${port}/v1/usage`, {
      headers: { authorization: 'x' },
      signal: signal ?? null,
    })
  return { answers, ask }
}

const until = async (isTrue: () => boolean) => {
  while (!isTrue()) await new Promise((resolve) => setTimeout(resolve, 5))
}

it('count until the store has answered, whether or not somebody still listens', async () => {
  const { answers, ask } = await listening()
  const hangUp = new AbortController()
  const gone = [ask(hangUp.signal), ask(hangUp.signal)]
  await until(() => answers.length === 2)
  hangUp.abort()
  for (const one of await Promise.allSettled(gone)) expect(one.status).toBe('rejected')
  const refused = await ask()
  expect(refused.status).toBe(503)
  expect(await refused.json()).toMatchObject({ error: { code: 'HW_AGGREGATOR_BUSY' } })
  expect(answers).toHaveLength(2)
  answers.forEach((answer) => answer())
  let served = ask()
  await until(() => answers.length === 3)
  answers[2]!()
  expect((await served).status).toBe(200)
  served = ask()
  await until(() => answers.length === 4)
  answers[3]!()
  expect(await (await served).json()).toEqual([])
})
