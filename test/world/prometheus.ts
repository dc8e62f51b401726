// The real Prometheus, with the site's example configuration: its targets are this world's, and it looks every second.
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { service } from './world.js'

export interface Targets {
  /** "127.0.0.1:7781" */
  readonly nodes: readonly string[]
  readonly aggregator: string
}

export interface Sample {
  readonly metric: Readonly<Record<string, string>>
  readonly value: number
}

const URL = 'http://127.0.0.1:9090/api/v1/'
const CONFIG = '/opt/hepwrap/config'

export async function startPrometheus({ nodes, aggregator }: Targets): Promise<void> {
  const example = readFileSync(`${CONFIG}/prometheus.yml`, 'utf8')
  const text = example
    .replaceAll(/_interval: 30s/g, '_interval: 1s')
    .replace(/( +- )wn001\.example:7781\n +- wn002\.example:7781/, (_, dash: string) =>
      nodes.map((node) => dash + node).join('\n'),
    )
    .replace('acct.example:7780', aggregator)
  mkdirSync('/etc/prometheus', { recursive: true })
  writeFileSync('/etc/prometheus/prometheus.yml', text)
  copyFileSync(`${CONFIG}/prometheus-alerts.yml`, '/etc/prometheus/prometheus-alerts.yml')
  await service('start', 'prometheus')
}

/** What the expression is now; an expression that Prometheus does not understand throws. */
export async function samples(expression: string): Promise<readonly Sample[]> {
  const { result } = await ask<{ result: { metric: Sample['metric']; value: [number, string] }[] }>(
    `query?${new URLSearchParams({ query: expression }).toString()}`,
  )
  return result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }))
}

/** Of an expression with one answer; undefined: none yet. */
export async function sample(expression: string): Promise<number | undefined> {
  const found = await samples(expression)
  if (found.length > 1) throw new Error(`${expression} has ${found.length} answers`)
  return found[0]?.value
}

/** Names of all metrics that were scraped. */
export const metricNames = (): Promise<readonly string[]> => ask('label/__name__/values')

export interface Alert {
  readonly labels: Readonly<Record<string, string>>
  readonly state: 'pending' | 'firing'
}

export const alerts = async (): Promise<readonly Alert[]> =>
  (await ask<{ alerts: Alert[] }>('alerts')).alerts

async function ask<Data>(path: string): Promise<Data> {
  const reply = await fetch(URL + path)
  const { status, data, error } = (await reply.json()) as {
    status: string
    data: Data
    error?: string
  }
  if (status !== 'success') throw new Error(`Prometheus: ${error ?? status}: ${path}`)
  return data
}
