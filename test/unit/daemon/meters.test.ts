// The node's metrics over real HTTP: what is counted, what is asked for, and that nothing a user wrote can get into them.
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { parseDaemonConfig } from '../../../src/config/load.js'
import type { Daemon } from '../../../src/daemon/compose.js'
import { createMeters } from '../../../src/daemon/meters.js'
import { buildMetricsServer } from '../../../src/daemon/metrics-server.js'
import { makeLedger, makeRecord } from '../accounting/records.js'

const closings: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closings.splice(0)) await close()
})

const NOW = Date.parse('2026-11-20T12:00:00.000Z')

async function serve({ engine = async (): Promise<unknown> => ({}) } = {}) {
  let monotonicMs = 0
  const clock = { nowMs: () => NOW, monotonicMs: () => monotonicMs }
  const meters = createMeters(clock)
  const ledger = makeLedger()
  const config = parseDaemonConfig('node.cluster = "hepp"\nnode.name = "n1"', 'f.toml')
  let skewMs: number | undefined
  const forwarder = { state: () => 'waiting', skewMs: () => skewMs }
  const daemon = {
    config,
    clock,
    ledger,
    engine: { facts: engine },
    live: { all: () => [1, 2, 3] },
    bookkeeping: { forwarder: () => forwarder },
    meters,
  } as unknown as Daemon
  meters.watchDaemon(daemon)
  const app = buildMetricsServer(daemon)
  await app.listen({ host: '127.0.0.1', port: 0 })
  closings.push(() => app.close())
  const { port } = app.server.address() as AddressInfo
  const scrape = async () => {
    monotonicMs += 60_000
    const reply = await fetch(`http://127.0.0.1:${port}/metrics`)
    expect(reply.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/)
    const lines = (await reply.text()).split('\n').filter((line) => /^[^#]/.test(line))
    return new Map(lines.map((line) => [line.replace(/ \S+$/, ''), line.replace(/^.* /, '')]))
  }
  return { meters, ledger, scrape, port, setSkew: (ms: number) => void (skewMs = ms) }
}

describe('the metrics', () => {
  it('count launches by stage, refusals by reason, ends by state, batches by outcome', async () => {
    const { meters, scrape } = await serve()
    meters.tally.launched({ admit: 2, image: 40 }, 42)
    meters.tally.launched({ admit: 3, image: 400 }, 403)
    meters.tally.refused('HW_IMAGE_REFUSED')
    meters.tally.ended('COMPLETED')
    meters.onOutcome('busy')
    const got = await scrape()
    expect(got.get('hepwrapd_launches_total')).toBe('2')
    expect(got.get('hepwrapd_launch_seconds_count{stage="image"}')).toBe('2')
    expect(Number(got.get('hepwrapd_launch_seconds_sum{stage="total"}'))).toBeCloseTo(0.445)
    expect(got.get('hepwrapd_launch_seconds_bucket{le="0.05",stage="image"}')).toBe('1')
    expect(got.get('hepwrapd_refusals_total{reason="HW_IMAGE_REFUSED"}')).toBe('1')
    expect(got.get('hepwrapd_runs_ended_total{state="COMPLETED"}')).toBe('1')
    expect(got.get('hepwrapd_forwarder_batches_total{outcome="busy"}')).toBe('1')
  })

  it('tell what runs, waits and is kept', async () => {
    const { meters, ledger, scrape, setSkew } = await serve()
    meters.watchQueue('pull', () => 7)
    ledger.open(makeRecord({ created_at: '2026-11-20T11:00:00.000Z' }))
    const bad = makeRecord()
    ledger.open(bad)
    ledger.outbox.setAside({ id: bad.id, changeSeq: 2, said: 'no', since: 'now' })
    const got = await scrape()
    expect(got.get('hepwrapd_running_containers')).toBe('3')
    expect(got.get('hepwrapd_queue_length{queue="pull"}')).toBe('7')
    expect(got.get('hepwrapd_unsent_records')).toBe('1')
    expect(got.get('hepwrapd_oldest_unsent_record_age_seconds')).toBe('3600')
    expect(got.get('hepwrapd_set_aside_records')).toBe('1')
    expect(got.get('hepwrapd_dropped_records_total')).toBe('0')
    expect(Number(got.get('hepwrapd_ledger_bytes'))).toBeGreaterThan(4096)
    expect(got.get('hepwrapd_forwarder_state{state="waiting"}')).toBe('1')
    expect(got.get('hepwrapd_forwarder_state{state="idle"}')).toBe('0')
    expect(got.get('hepwrapd_engine_up')).toBe('1')
    expect([...got.keys()].filter((key) => key.startsWith('hepwrapd_build_info'))).toEqual([
      'hepwrapd_build_info{version="0.1.0",cluster="hepp",node="n1"}',
    ])
    expect(got.has('hepwrapd_aggregator_clock_skew_seconds')).toBe(false)
    setSkew(-2500)
    ledger.open({ ...makeRecord({ state: 'COMPLETED', ended_at: '2026-11-20T11:59:00.000Z' }) })
    ledger.retention.dropUnsent('2026-11-20T12:00:00.000Z')
    const later = await scrape()
    expect(later.get('hepwrapd_aggregator_clock_skew_seconds')).toBe('-2.5')
    expect(later.get('hepwrapd_dropped_records_total')).toBe('1')
  })

  it('are those that docs/monitoring.md names, and no others', async () => {
    const { meters, setSkew } = await serve()
    setSkew(1)
    const names = (await meters.render()).match(/(?<=^# TYPE )\S+/gm) ?? []
    const page = readFileSync(join(import.meta.dirname, '../../../docs/monitoring.md'), 'utf8')
    const told = page.match(/(?<=^\| `)hepwrapd_\w+/gm) ?? []
    expect([...new Set(told)].sort()).toEqual([...names].sort())
  })

  it('survive an engine that is down and a ledger that cannot be read', async () => {
    const engine = async () => {
      throw new Error('down')
    }
    const { ledger, scrape } = await serve({ engine })
    ledger.close()
    const got = await scrape()
    expect(got.get('hepwrapd_engine_up')).toBe('0')
    expect(got.get('hepwrapd_unsent_records')).toBe('Nan')
    expect(got.get('hepwrapd_running_containers')).toBe('3')
  })

  it('are one page, and read no body', async () => {
    const { port } = await serve()
    const get = (path: string, init?: RequestInit) =>
      fetch(`http://127.0.0.1:${port}${path}`, init).then(({ status }) => status)
    expect(await get('/')).toBe(404)
    expect(await get('/v1/records')).toBe(404)
    expect(await get('/metrics', { method: 'POST', body: 'x' })).toBe(404)
    expect(await get('/metrics', { method: 'POST', body: 'x'.repeat(5000) })).toBe(413)
  })

  it('are no place for connections that say nothing', async () => {
    const { port, scrape } = await serve()
    const silent = Array.from({ length: 40 }, () => connect(port, '127.0.0.1'))
    for (const socket of silent) socket.on('error', () => undefined).resume()
    const closed = silent.map((socket) => new Promise((resolve) => socket.on('close', resolve)))
    await Promise.all(closed)
    expect((await scrape()).size).toBeGreaterThan(0)
  }, 20_000)
})
