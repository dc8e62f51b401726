// Does a run wait for the accounting? Launches of `true` beside each other in one run of this: without an aggregator, with one that
// takes everything, with one that is down, with one that hangs, and while a day's records go out. Each state has its daemon anew,
// several times in turn, so that a slow minute of the machine is everybody's. The aggregator runs on the same cores: what it takes
// for the day's records, it takes from the launches.
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { startAggregator, stopAggregators, type Aggregator } from '../world/aggregator.js'
import { type Daemon, startDaemon, stopDaemons } from '../world/daemon.js'
import { median, percentile } from './figures.js'
import { msOf, timed, turn } from './in-step.js'

const ROUNDS = 5
const LAUNCHES = 12
const BACKLOG = 50_000

interface State {
  readonly what: string
  readonly url: string
  readonly backlog?: number
}

interface Figures {
  readonly launchMs: number[]
  readonly ownMs: number[]
}

async function main(): Promise<void> {
  const aggregator = await startAggregator({ config: { server: { log_level: 'info' } } })
  const daemon = await startDaemon({ config: { node: { log_level: 'info' } } })
  const states = await statesOf(aggregator)
  const figures = new Map<string, Figures>(
    states.map(({ what }) => [what, { launchMs: [], ownMs: [] }]),
  )
  await measure(daemon) // warm
  for (let round = 0; round < ROUNDS; round++) {
    console.error(`bench: round ${round + 1} of ${ROUNDS}`)
    for (const state of states) {
      await enter(state, daemon)
      const { launchMs, ownMs } = await measure(daemon)
      figures.get(state.what)?.launchMs.push(...launchMs)
      figures.get(state.what)?.ownMs.push(...ownMs)
    }
  }
  print(figures)
  await stopDaemons()
  await stopAggregators()
  process.exit(0) // the hanging one has connections
}

async function statesOf(aggregator: Aggregator): Promise<State[]> {
  const hanging = createServer(() => undefined)
  await new Promise<void>((resolve) => hanging.listen(0, '127.0.0.1', resolve))
  const { port } = hanging.address() as AddressInfo
  return [
    { what: 'no aggregator', url: '' },
    { what: 'aggregator up', url: aggregator.url },
    { what: 'aggregator down', url: 'http://127.0.0.1:9' },
    { what: 'aggregator hangs', url: `http://127.0.0.1:${port}` },
    { what: `up, ${BACKLOG} records going out`, url: aggregator.url, backlog: BACKLOG },
  ]
}

async function enter({ url, backlog = 0 }: State, daemon: Daemon): Promise<void> {
  await daemon.stop()
  const text = readFileSync(daemon.configPath, 'utf8').replace(/\n\[accounting\][^[]*/, '\n')
  writeFileSync(daemon.configPath, `${text}\n[accounting]\naggregator = "${url}"\n`)
  if (backlog > 0) addRecords(daemon, backlog)
  await daemon.restart()
}

/** Copies of the newest record, each with an id of its own: as many as a busy node makes in a day. */
function addRecords({ stateDirectory }: Daemon, count: number): void {
  const db = new Database(join(stateDirectory, 'ledger.db'))
  const columns = (db.pragma('table_info(records)') as { name: string }[])
    .map(({ name }) => `"${name}"`)
    .filter((name) => name !== '"seq"')
  const changed: Record<string, string> = {
    '"id"': 'lower(hex(randomblob(16)))',
    '"change_seq"': '(SELECT max(change_seq) FROM records) + n',
  }
  db.exec(`WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ${count})
    INSERT INTO records (${columns.join(', ')})
    SELECT ${columns.map((name) => changed[name] ?? name).join(', ')}
    FROM (SELECT * FROM records ORDER BY seq DESC LIMIT 1), numbers`)
  db.close()
}

async function measure(daemon: Daemon): Promise<Figures> {
  const before = starts(daemon).length
  const argv = ['hepwrap', 'run', 'busybox:test', 'true']
  const results = await timed(Array.from({ length: LAUNCHES }, () => turn('launch', argv)))
  const ownMs = starts(daemon)
    .slice(before)
    .map((line) => Number(line['own_ms']))
  return { launchMs: msOf(results, 'launch'), ownMs }
}

const starts = (daemon: Daemon) => daemon.log().filter(({ msg }) => msg === 'run started')

function print(figures: ReadonlyMap<string, Figures>): void {
  const ms = (values: number[], percent: number) => percentile(values, percent).toFixed(1)
  const base = median([...figures.values()][0]?.launchMs ?? [])
  const rows = [...figures].map(([what, { launchMs, ownMs }]) => [
    what,
    `${ms(launchMs, 50)} / ${ms(launchMs, 95)}`,
    `${ms(ownMs, 50)} / ${ms(ownMs, 95)}`,
    (median(launchMs) / base).toFixed(2),
  ])
  const title = `a launch of true, ${ROUNDS * LAUNCHES} each`
  const table = [[title, 'ms p50 / p95', "daemon's own", 'ratio'], ...rows]
  for (const [first = '', ...others] of table)
    console.log([first.padEnd(36), ...others.map((cell) => cell.padStart(16))].join(''))
}

await main()
