// The real Prometheus scrapes the real hepwrapd and the real aggregator; what an admin's dashboard and alerts name is there,
// and the values are those of the runs that were made.
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { hepwrapRun, hepwrapRuns, startRun } from '../../slurm/job-runs.js'
import { type Aggregator, startAggregator, stopAggregators } from '../../world/aggregator.js'
import { type Daemon, startDaemon, stopDaemons } from '../../world/daemon.js'
import { eventually } from '../../world/eventually.js'
import { alerts, metricNames, sample, samples, startPrometheus } from '../../world/prometheus.js'
import { as, expectSuccess, service } from '../../world/world.js'

const NODE = '127.0.0.1:7781'
const config = '/opt/hepwrap/config'

let aggregator: Aggregator
let daemon: Daemon

beforeAll(async () => {
  aggregator = await startAggregator({ config: { auth: { node_address: 'any' } } })
  daemon = await startDaemon({
    config: {
      metrics: { listen: NODE },
      accounting: { aggregator: aggregator.url },
    },
  })
  await startPrometheus({ nodes: [NODE], aggregator: aggregator.url.replace('http://', '') })
})
afterAll(async () => {
  await service('stop', 'prometheus')
  await stopDaemons()
  await stopAggregators()
})

/** Until Prometheus has it: a scrape a second. */
const reads = (expression: string, value: number) =>
  eventually(async () => (await sample(expression)) === value, {
    what: `${expression} to be ${value}`,
    timeoutMs: 40_000,
  })

describe('what promtool says', () => {
  it.each([
    ['check', 'config', `${config}/prometheus.yml`],
    ['check', 'rules', `${config}/prometheus-alerts.yml`],
    ['test', 'rules', '/opt/hepwrap/test/integration/metrics/alerts.yml'],
  ])('promtool %s %s %s', async (...args) => {
    expectSuccess(await as('root').run(['promtool', ...args]))
  })

  it.each([
    ['hepwrapd', () => `http://${NODE}/metrics`],
    ['the aggregator', () => `${aggregator.url}/metrics`],
  ])('of what %s shows: nothing', async (_, url) => {
    const reply = await fetch(url())
    expect(reply.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/)
    const text = await reply.text()
    const { status, stdout, stderr } = await as('root').run(['promtool', 'check', 'metrics'], {
      input: text,
    })
    const own = (stdout + stderr).split('\n').filter((line) => line.startsWith('hepwrap'))
    expect([status === 0 || status === 3, own]).toEqual([true, []]) // 3: of prom-client's own process_ and nodejs_
  })
})

describe('what runs were made', () => {
  it('is what Prometheus counts: launches, ends, refusals by reason, launch times', async () => {
    const runs = await hepwrapRuns('alice', [
      ['busybox:test', 'true'],
      ['busybox:test', 'true'],
      ['busybox:test', 'false'],
      ['no-such.example/image:1', 'true'],
    ])
    expect(runs.map(({ status }) => status)).toEqual([0, 0, 1, 125])
    await reads('hepwrapd_launches_total', 3)
    await reads('hepwrapd_runs_ended_total{state="COMPLETED"}', 2)
    await reads('hepwrapd_runs_ended_total{state="FAILED"}', 1)
    await reads('hepwrapd_refusals_total{reason="HW_IMAGE_REFUSED"}', 1)
    await reads('hepwrapd_launch_seconds_count{stage="total"}', 3)
    const stages = await samples('hepwrapd_launch_seconds_sum{stage!="total"}')
    const total = await sample('hepwrapd_launch_seconds_sum{stage="total"}')
    const sum = stages.reduce((all, { value }) => all + value, 0)
    expect(stages.length).toBeGreaterThan(5)
    expect(sum).toBeLessThanOrEqual((total ?? 0) * 1.01)
    expect(sum).toBeGreaterThan(0)
  })

  it('names the version, the node and its engine', async () => {
    const [build] = await samples('hepwrapd_build_info')
    expect(build?.metric).toMatchObject({
      cluster: 'hepp',
      node: 'n1',
      job: 'hepwrapd',
      instance: NODE,
    })
    await reads('hepwrapd_engine_up', 1)
    await reads('hepwrap_aggregator_build_info{store="sqlite",job="hepwrap-aggregator"}', 1)
  })

  it('is seen while it runs', async () => {
    const run = startRun('bob', ['-i', 'busybox:test', 'cat'])
    await reads('hepwrapd_running_containers', 1)
    run.child.stdin?.end()
    await run.result
    await reads('hepwrapd_running_containers', 0)
  })

  it('has come to the aggregator', async () => {
    await reads('hepwrapd_unsent_records', 0)
    await reads('hepwrapd_oldest_unsent_record_age_seconds', 0)
    const inserted = () => sample('hepwrap_aggregator_records_total{outcome="inserted"}')
    await eventually(
      async () => (await inserted()) === daemon.ledgerRows('select id from records').length,
    )
    await reads('hepwrap_aggregator_nodes{seen="5m"}', 1)
    expect(await sample('hepwrap_aggregator_store_up')).toBe(1)
    expect(await sample('abs(hepwrapd_aggregator_clock_skew_seconds)')).toBeLessThan(5)
  })
})

it('who asks without a credential is refused, and counted', async () => {
  expect((await fetch(`${aggregator.url}/v1/usage`)).status).toBe(401)
  await reads('hepwrap_aggregator_refusals_total{code="HW_CREDENTIAL_MISSING"}', 1)
})

// An engine that was up is asked again after ten seconds; an aggregator that was down, after a while.
describe('faults', { timeout: 180_000 }, () => {
  it('the aggregator is down: runs go on, the age of the oldest unsent record grows, and then falls', async () => {
    await aggregator.stop()
    await reads('up{job="hepwrap-aggregator"}', 0)
    expect((await hepwrapRun('alice', ['busybox:test', 'true'])).status).toBe(0)
    await reads('hepwrapd_unsent_records', 1)
    const age = 'hepwrapd_oldest_unsent_record_age_seconds'
    const first = await eventually(async () => {
      const seconds = (await sample(age)) ?? 0
      return seconds > 0 && seconds
    })
    await eventually(async () => ((await sample(age)) ?? 0) >= first + 2)
    await reads('hepwrapd_forwarder_state{state="waiting"}', 1)
    await eventually(
      async () =>
        ((await sample('sum(hepwrapd_forwarder_batches_total{outcome="unreachable"})')) ?? 0) > 0,
    )
    await eventually(async () =>
      (await alerts()).some(({ labels }) => labels['alertname'] === 'HepwrapAggregatorDown'),
    )
    await aggregator.restart()
    await reads('hepwrapd_unsent_records', 0)
    await reads(age, 0)
    await reads('up{job="hepwrap-aggregator"}', 1)
    await eventually(async () => (await alerts()).length === 0)
  })

  it('the engine is down: it is said, and each run that it costs is counted', async () => {
    await service('kill', 'dockerd')
    try {
      expect((await hepwrapRun('alice', ['busybox:test', 'true'])).status).toBe(125)
      await reads('hepwrapd_engine_up', 0)
      await eventually(
        async () =>
          ((await sample('sum(hepwrapd_refusals_total{reason=~"HW_ENGINE.*"})')) ?? 0) > 0,
      )
      await eventually(async () =>
        (await alerts()).some(({ labels }) => labels['alertname'] === 'HepwrapEngineDown'),
      )
    } finally {
      await service('start', 'dockerd')
    }
    await reads('hepwrapd_engine_up', 1)
  })
})

describe('what the dashboard and the alerts name', () => {
  const dashboard = JSON.parse(readFileSync(`${config}/grafana-dashboard.json`, 'utf8')) as {
    panels: { title: string; targets?: { expr: string }[] }[]
  }
  const expressions = [
    ...dashboard.panels.flatMap(({ targets }) => (targets ?? []).map(({ expr }) => expr)),
    ...[
      ...readFileSync(`${config}/prometheus-alerts.yml`, 'utf8').matchAll(
        /expr:(?: >-)?((?:.|\n {10})*)/g,
      ),
    ].map(([, expression = '']) => expression.replaceAll(/\s+/g, ' ').trim()),
  ]
  /** As Grafana fills its variables in. */
  const filled = (expression: string) =>
    expression.replaceAll('$__rate_interval', '1m').replaceAll('$node', '.*')

  it('is a good deal', () => expect(expressions.length).toBeGreaterThan(40))

  it.each(expressions)('is understood: %s', async (expression) => {
    expect(await samples(filled(expression))).toBeInstanceOf(Array)
  })

  it('is there, every metric of it', async () => {
    const known = new Set(await metricNames())
    const named = expressions.flatMap(
      (expression) =>
        expression.match(/\b(?:hepwrapd|hepwrap_aggregator|process|nodejs)_\w+|\bup\b/g) ?? [],
    )
    const words = new Set(named)
    expect([...words].filter((name) => !known.has(name))).toEqual([])
    expect(words.size).toBeGreaterThan(25)
  })

  it('leaves no metric of ours out', async () => {
    const text = expressions.join('\n')
    const ours = (await metricNames()).filter((name) => /^hepwrap/.test(name))
    // build_info is what joins them to versions and nodes; the rest is in a panel or an alert.
    const unused = ours.filter(
      (name) => !name.endsWith('_build_info') && !text.includes(base(name)),
    )
    expect(unused).toEqual([])
  })

  it('is what docs/monitoring.md has, and nothing else', async () => {
    const text = readFileSync('/opt/hepwrap/docs/monitoring.md', 'utf8')
    const written = [...text.matchAll(/^\| `(hepwrap\w+)/gm)].map(([, name]) => name)
    const ours = (await metricNames()).filter((name) => /^hepwrap/.test(name))
    expect(written.sort()).toEqual([...new Set(ours.map(base))].sort())
  })
})

/** Of a histogram's parts. */
const base = (name: string) => name.replace(/_(?:bucket|sum|count)$/, '')
