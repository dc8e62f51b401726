// The aggregator killed, out of disk, out of memory's reach, without munged, and stopped: nothing is lost, nothing is double.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createConnection } from 'node:net'
import { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { openUpstream } from '../../../src/upstream/upstream.js'
import { MAX_BATCH_BYTES } from '../../../src/wire/ingest-api.js'
import { simulatedNode } from '../../support/simulated-node.js'
import { ndjson, usageRecord } from '../../support/usage-record.js'
import {
  AGGREGATOR_UID,
  askAs,
  credentialOf,
  newToken,
  startAggregator,
  stopAggregators,
  type Aggregator,
} from '../../world/aggregator.js'
import { eventually } from '../../world/eventually.js'
import { postgres } from '../../world/postgres.js'
import { service } from '../../world/world.js'

afterEach(stopAggregators)

const nodeOf = (aggregator: Aggregator, node: string, batchRecords = 20) =>
  simulatedNode({
    node,
    batchRecords,
    upstream: openUpstream({ url: aggregator.url, auth: 'munge' }),
    wait: () => delay(5),
  })

const totals = async (aggregator: Aggregator) => {
  const reply = await askAs('root', aggregator, { path: '/v1/usage' })
  const [row] = (await reply.json()) as { runs: number; cpu_usec: number }[]
  return { runs: row?.runs ?? 0, cpuUsec: row?.cpu_usec ?? 0 }
}

async function idsAt(aggregator: Aggregator): Promise<string[]> {
  const reply = await askAs('root', aggregator, { path: '/v1/records' })
  const lines = (await reply.text()).split('\n').filter((line) => line !== '')
  return lines.map((line) => (JSON.parse(line) as { id: string }).id)
}

describe('killed', () => {
  it.each(['sqlite', 'postgres'] as const)(
    'ACCEPTANCE 34: 100 times at random while three nodes send (%s): every record is there once, and the sums are exact',
    { timeout: 400_000 },
    async (store) => {
      const aggregator = await startAggregator({ store })
      const nodes = ['n1', 'n2', 'n3'].map((name) => nodeOf(aggregator, name))
      const ids = new Set<string>()
      let cpuUsec = 0
      let isOver = false
      const write = (node: (typeof nodes)[number]) => {
        const done = usageRecord({ node: node.node, cpu_user_usec: 1_000_000, cpu_system_usec: 0 })
        node.write({ ...done, state: 'RUNNING', ended_at: null, cpu_user_usec: null })
        node.write(done)
        ids.add(done.id)
        cpuUsec += 1_000_000
      }
      const senders = nodes.map(async (node) => {
        while (!isOver) {
          for (let count = 0; count < 25; count++) write(node)
          await node.drain()
        }
      })
      for (let kill = 0; kill < 100; kill++) {
        await delay(Math.random() * 100)
        await aggregator.kill('SIGKILL')
        await aggregator.restart()
      }
      isOver = true
      await Promise.all(senders)
      const stored = await idsAt(aggregator)
      expect(stored.length).toBe(ids.size)
      expect(new Set(stored)).toEqual(ids)
      expect(await totals(aggregator)).toEqual({ runs: ids.size, cpuUsec })
      expect(ids.size).toBeGreaterThan(500)
    },
  )
})

describe('the disk', () => {
  it('full, takes nothing and says so; with room again, all comes in', async () => {
    const mount = '/srv/small-disk'
    execFileSync('mkdir', ['-p', mount])
    execFileSync('mount', [
      '-t',
      'tmpfs',
      '-o',
      `size=6m,uid=${AGGREGATOR_UID},mode=700`,
      'tmpfs',
      mount,
    ])
    const aggregator = await startAggregator({ storeUrl: `sqlite:${mount}/aggregator.db` })
    const node = nodeOf(aggregator, 'n1', 500)
    for (let count = 0; count < 10_000; count++)
      node.write(
        usageRecord({ command: 'x'.repeat(500), cpu_user_usec: 1_000_000, cpu_system_usec: 0 }),
      )
    const drained = node.drain()
    await eventually(() => aggregator.logText().includes('the store is not available'))
    expect((await fetch(`${aggregator.url}/healthz`)).status).toBe(503)
    const body = ndjson([usageRecord()])
    const refused = await askAs('root', aggregator, { method: 'POST', path: '/v1/records', body })
    expect(refused.status).toBe(503)
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(5)
    expect(await refused.json()).toMatchObject({ error: { code: 'HW_STORE_UNAVAILABLE' } })
    const reading = await askAs('root', aggregator, { path: '/v1/records?limit=1' })
    expect(reading.status).toBe(200)
    execFileSync('mount', ['-o', 'remount,size=200m', mount])
    await drained
    expect(await totals(aggregator)).toEqual({ runs: 10_000, cpuUsec: 10_000 * 1_000_000 })
    await eventually(() => aggregator.logText().includes('the store answers again'))
  })
})

describe('PostgreSQL', () => {
  it('away, nothing is taken and it is said so; back again, all comes in', async () => {
    const aggregator = await startAggregator({ store: 'postgres' })
    const node = nodeOf(aggregator, 'n1', 100)
    const write = (count: number) => {
      for (let index = 0; index < count; index++) node.write(usageRecord())
    }
    write(1000)
    await node.drain()
    postgres('kill')
    write(1000)
    const drained = node.drain()
    await eventually(() => aggregator.logText().includes('the store is not available'))
    const reading = await askAs('alice', aggregator, { path: '/v1/records' })
    expect(reading.status).toBe(503)
    const { error } = (await reading.json()) as { error: { code: string; message: string } }
    expect(error.code).toBe('HW_STORE_UNAVAILABLE')
    expect(error.message).not.toMatch(/postgres|ECONN|socket|5432/i)
    postgres('start')
    await drained
    expect((await totals(aggregator)).runs).toBe(2000)
    await eventually(() => aggregator.logText().includes('the store answers again'))
  })
})

describe('memory', () => {
  it('stays within bounds under 200 bodies of 16 MB at once', { timeout: 120_000 }, async () => {
    const names = Array.from({ length: 200 }, (_, index) => `m${index}`)
    const tokens = Object.fromEntries(names.map((name) => [`node hepp/${name}`, newToken()]))
    const aggregator = await startAggregator({ tokens })
    const { port } = new URL(aggregator.url)
    const send = (name: string) =>
      new Promise<string>((resolve) => {
        const line = ndjson([usageRecord({ node: name, command: 'x'.repeat(3000) })])
        const lines = Math.floor(MAX_BATCH_BYTES / line.length)
        const socket = createConnection(Number(port), '127.0.0.1')
        socket.write(
          `POST /v1/records HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${tokens[`node hepp/${name}`] ?? ''}\r\n` +
            `Content-Length: ${lines * line.length}\r\n\r\n`,
        )
        socket.once('data', (chunk) => {
          resolve(String(chunk).split(' ')[1] ?? '')
          socket.destroy()
        })
        socket.on('error', () => undefined)
        socket.on('close', () => resolve('none'))
        Readable.from(repeated(line, lines)).pipe(socket, { end: false })
      })
    const statuses = await Promise.all(names.map(send))
    expect([...new Set(statuses)].sort()).toEqual(['200', '503'])
    const peakMb = peakOf(aggregator.pid) / 1024
    console.log(`200 bodies of 16 MB at once: peak RSS ${Math.round(peakMb)} MB`)
    expect(peakMb).toBeLessThan(900)
    const health = await fetch(`${aggregator.url}/healthz`)
    expect(await health.json()).toEqual({ status: 'ok' })
  })

  function* repeated(line: string, lines: number): Iterable<string> {
    const many = line.repeat(16)
    for (let count = 0; count + 16 <= lines; count += 16) yield many
    yield line.repeat(lines % 16)
  }

  const peakOf = (pid: number) =>
    Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])

  it('a slow reader holds a page, and nobody else up', async () => {
    const aggregator = await startAggregator()
    const node = nodeOf(aggregator, 'n1', 5000)
    for (let count = 0; count < 20_000; count++) node.write(usageRecord())
    await node.drain()
    const before = peakOf(aggregator.pid)
    const { port } = new URL(aggregator.url)
    const authorization = await credentialOf('root', 'GET', '/v1/records')
    const slow = createConnection(Number(port), '127.0.0.1')
    slow.pause()
    slow.write(`GET /v1/records HTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization}\r\n\r\n`)
    expect(await idsAt(aggregator)).toHaveLength(20_000)
    slow.destroy()
    expect((peakOf(aggregator.pid) - before) / 1024).toBeLessThan(150)
  })
})

describe('without munged', () => {
  const munged = () => Number(readFileSync('/run/munge/munged.pid', 'utf8'))
  const ask = (aggregator: Aggregator, authorization: string) =>
    fetch(`${aggregator.url}/v1/whoami`, { headers: { authorization } })

  it(
    'nobody is taken for anybody: 503, and again when munged is back',
    { timeout: 30_000 },
    async () => {
      const aggregator = await startAggregator()
      const first = await credentialOf('alice', 'GET', '/v1/whoami')
      const second = await credentialOf('alice', 'GET', '/v1/whoami')
      const third = await credentialOf('alice', 'GET', '/v1/whoami')
      process.kill(munged(), 'SIGSTOP')
      try {
        const hung = ask(aggregator, first)
        expect(await (await fetch(`${aggregator.url}/healthz`)).json()).toEqual({ status: 'ok' })
        expect(await (await hung).json()).toMatchObject({ error: { code: 'HW_MUNGE_UNAVAILABLE' } })
      } finally {
        process.kill(munged(), 'SIGCONT')
      }
      await service('stop', 'munged')
      const gone = await ask(aggregator, second)
      expect(gone.status).toBe(503)
      await service('start', 'munged')
      expect((await ask(aggregator, third)).status).toBe(200)
    },
  )
})

describe('stopped', () => {
  it('ends what it has begun, and comes back with all of it', async () => {
    const aggregator = await startAggregator()
    const node = nodeOf(aggregator, 'n1', 200)
    for (let count = 0; count < 2000; count++) node.write(usageRecord())
    const drained = node.drain()
    await eventually(() => node.acked() > 0)
    expect(await aggregator.stop()).toBe(0)
    expect(aggregator.log().at(-1)).toMatchObject({ msg: 'stopped' })
    await aggregator.restart()
    await drained
    expect((await totals(aggregator)).runs).toBe(2000)
  })
})
