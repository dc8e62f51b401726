// A million real rows through the real aggregator: acct prints them all, and neither side holds them.
import { readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ndjson, usageRecord } from '../../support/usage-record.js'
import { type Aggregator, askAs, startAggregator, stopAggregators } from '../../world/aggregator.js'
import { as, expectSuccess } from '../../world/world.js'

const MILLION = 1_000_000
const BATCH = 10_000
const PEAK_FILE = '/tmp/acct-peak'
const PRELOAD = '/tmp/acct-peak.cjs'

let aggregator: Aggregator

beforeAll(async () => {
  aggregator = await startAggregator()
  const seconds = (at: number) => new Date(Date.UTC(2026, 0, 1) + at * 1000).toISOString()
  for (let sent = 0; sent < MILLION; sent += BATCH) {
    const records = Array.from({ length: BATCH }, (_, index) => {
      const at = sent + index
      return usageRecord({
        job_id: Math.floor(at / 10) + 1,
        step_id: String(at % 10),
        created_at: seconds(at),
        started_at: seconds(at + 1),
        ended_at: seconds(at + 61),
      })
    })
    const body = ndjson(records)
    const path = '/v1/records?cluster=hepp&node=n1'
    const headers = { 'content-type': 'application/x-ndjson' }
    const reply = await askAs('root', aggregator, { method: 'POST', path, body, headers })
    expect({ status: reply.status, text: await reply.text() }).toMatchObject({ status: 200 })
  }
  writeFileSync(
    PRELOAD,
    `process.on('exit', () => require('fs').writeFileSync('${PEAK_FILE}', String(process.resourceUsage().maxRSS)))`,
  )
}, 400_000)
afterAll(() => stopAggregators())

/** MiB, since it was started. */
function peakOfAggregator(): number {
  const status = readFileSync(`/proc/${aggregator.pid}/status`, 'utf8')
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024
}

const shell = (command: string) =>
  as('root').run(['bash', '-o', 'pipefail', '-c', command], {
    env: { HEPWRAP_AGGREGATOR: aggregator.url, NODE_OPTIONS: `--require ${PRELOAD}` },
    timeoutMs: 200_000,
  })

describe('a million records at the aggregator', () => {
  it('are printed, each once, in the memory of a few', { timeout: 240_000 }, async () => {
    await aggregator.restart() // what it needed to take them in is another matter
    const began = performance.now()
    const count = 'sort -u --parallel=1 -S 200M | wc -l'
    const { stdout } = expectSuccess(await shell(`hepwrap acct -Pn -o id | ${count}`))
    const seconds = (performance.now() - began) / 1000
    const client = Number(readFileSync(PEAK_FILE, 'utf8')) / 1024
    const server = peakOfAggregator()
    console.info(
      `acct: ${stdout.trim()} records in ${seconds.toFixed(0)} s; peak RSS: hepwrap ${client.toFixed(0)} MiB, hepwrap-aggregator ${server.toFixed(0)} MiB`,
    )
    expect(Number(stdout)).toBe(MILLION)
    expect(client).toBeLessThan(200)
    expect(server).toBeLessThan(500)
  })

  it('end with their reader: acct | head', async () => {
    const { status, stdout, stderr } = await shell('hepwrap acct -Pn -o jobidraw | head -n 3')
    expect({ status, stdout, stderr }).toEqual({
      status: 141,
      stdout: '1.0\n1.1\n1.2\n',
      stderr: '',
    })
    const after = expectSuccess(await shell('hepwrap acct -Pn -o jobidraw -j 7'))
    expect(after.stdout.split('\n').filter(Boolean)).toHaveLength(10)
  })

  it('are summed at once', async () => {
    const { stdout } = expectSuccess(await shell('hepwrap report --json'))
    expect(JSON.parse(stdout)).toMatchObject([{ user: 'alice', runs: MILLION }])
  })
})
