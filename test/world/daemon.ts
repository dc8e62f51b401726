// A real hepwrapd, started as an admin would, with a config of the test's own.
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { parse, stringify } from 'smol-toml'
import { testEngine } from './engine.js'
import { eventually, PATIENCE } from './eventually.js'

type Value = string | number | boolean | string[] | Table
interface Table {
  [key: string]: Value
}
export type ConfigOverrides = Partial<
  Record<
    | 'node'
    | 'engine'
    | 'slurm'
    | 'images'
    | 'mounts'
    | 'policy'
    | 'limits'
    | 'accounting'
    | 'metrics',
    Table
  >
> & {
  /** [[rule]] blocks, in this order */
  rule?: Table[]
}

export interface DaemonOptions {
  /** replaces single keys of the test config */
  config?: ConfigOverrides
  /** a whole configuration in place of the test config; its [node] is made this world's */
  text?: string
  /** for a cluster of several nodes: this daemon serves that node's prolog, epilog and tasks */
  node?: 'n1' | 'n2' | 'n3'
  env?: Record<string, string>
}

export interface Daemon {
  readonly pid: number
  readonly configPath: string
  readonly socketPath: string
  readonly stateDirectory: string
  readonly runDirectory: string
  /** all that it has logged, also before a restart; one JSON object a line */
  log: () => Record<string, unknown>[]
  logText: () => string
  /** SIGTERM, as systemd would; answers the exit status */
  stop: () => Promise<number | null>
  /** sends a signal and waits for the end if it is one that ends it */
  kill: (signal?: NodeJS.Signals) => Promise<void>
  /** starts it again with the same config and state */
  restart: () => Promise<void>
  ledgerRows: (sql?: string) => Record<string, unknown>[]
}

const running = new Set<ChildProcess>()

export async function startDaemon({
  config = {},
  text,
  node,
  env,
}: DaemonOptions = {}): Promise<Daemon> {
  const directory = mkdtempSync('/srv/hepwrap-')
  const runDirectory = node ? `/run/hepwrap-${node}` : '/run/hepwrap'
  const base = testConfig(directory, runDirectory, node ?? 'n1')
  const settings = merge(base, text === undefined ? config : { node: base.node })
  const configPath = join(directory, 'hepwrapd.toml')
  const written = text === undefined ? stringify(settings) : withNode(text, base.node)
  writeFileSync(configPath, written, { mode: 0o644 })
  const logPath = join(directory, 'hepwrapd.log')
  const stateDirectory = settings['node']!['state_dir'] as string
  const socketPath = settings['node']!['socket'] as string
  let child = await launch(configPath, logPath, socketPath, env)
  return {
    get pid() {
      return child.pid!
    },
    configPath,
    socketPath,
    stateDirectory,
    runDirectory,
    logText: () => readFileSync(logPath, 'utf8'),
    log: () => parseLines(readFileSync(logPath, 'utf8')),
    stop: () => end(child, 'SIGTERM'),
    kill: async (signal = 'SIGKILL') => {
      if (signal === 'SIGSTOP' || signal === 'SIGCONT') child.kill(signal)
      else await end(child, signal)
    },
    restart: async () => {
      if (isAlive(child)) await end(child, 'SIGTERM')
      child = await launch(configPath, logPath, socketPath, env)
    },
    ledgerRows: (sql = 'select * from records order by rowid') =>
      readLedger(join(stateDirectory, 'ledger.db'), sql),
  }
}

/** For afterEach: whatever a test left running. */
export async function stopDaemons(): Promise<void> {
  await Promise.all([...running].map((child) => end(child, 'SIGTERM')))
}

type Sections = Required<Omit<ConfigOverrides, 'rule'>>

function testConfig(directory: string, runDirectory: string, node: string): Sections {
  return {
    node: {
      cluster: 'hepp',
      name: node,
      socket: `${runDirectory}/hepwrapd.sock`,
      state_dir: join(directory, 'state'),
      run_dir: runDirectory,
      log_level: 'debug',
    },
    engine: { socket: testEngine.socketPath },
    slurm: { outside_jobs: 'refuse' },
    images: { allow: ['busybox:test', 'debian:test', 'setuid:test'], pull: 'missing' },
    mounts: { always: [] },
    policy: {},
    limits: {},
    accounting: {},
    metrics: {},
  }
}

function merge(base: Sections, { rule, ...overrides }: ConfigOverrides): Record<string, Table> {
  const merged = Object.entries(base).map(([name, table]) => {
    return [name, { ...table, ...overrides[name as keyof Sections] }] as const
  })
  const tables = Object.fromEntries(merged.filter(([, table]) => Object.keys(table).length > 0))
  return { ...tables, ...(rule && { rule: rule as unknown as Table }) }
}

/** The text as it is, but for the keys of [node] that the world needs. */
function withNode(text: string, node: Table): string {
  const own = (parse(text)['node'] ?? {}) as Table
  const lines = stringify(Object.fromEntries(Object.entries(node).filter(([key]) => !(key in own))))
  if (!text.includes('[node]\n')) throw new Error('the configuration has no [node]')
  return text.replace('[node]\n', `[node]\n${lines}`)
}

async function launch(
  configPath: string,
  logPath: string,
  socketPath: string,
  env: Record<string, string> = {},
): Promise<ChildProcess> {
  const log = openSync(logPath, 'a')
  const child = spawn(
    '/usr/local/bin/node',
    ['/opt/hepwrap/dist/bin/hepwrapd.js', '--config', configPath],
    {
      cwd: '/',
      env: {
        PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
        LANG: 'C.UTF-8',
        ...env,
      },
      stdio: ['ignore', log, log],
    },
  )
  closeSync(log)
  running.add(child)
  child.on('exit', () => running.delete(child))
  await eventually(
    async () => {
      if (!isAlive(child)) return true
      return accepts(socketPath)
    },
    { what: `hepwrapd on ${socketPath}` },
  )
  if (!isAlive(child)) throw new Error(`hepwrapd did not start:\n${readFileSync(logPath, 'utf8')}`)
  return child
}

function isAlive(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null
}

function accepts(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath)
    socket.on('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (!isAlive(child)) return child.exitCode
  const ended = new Promise<number | null>((resolve) => child.on('exit', resolve))
  child.kill(signal)
  const timer = setTimeout(() => child.kill('SIGKILL'), 15_000 * PATIENCE)
  const status = await ended
  clearTimeout(timer)
  return status
}

function parseLines(text: string): Record<string, unknown>[] {
  const lines = text.split('\n').filter((line) => line.startsWith('{'))
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>)
}

function readLedger(path: string, sql: string): Record<string, unknown>[] {
  const ledger = new Database(path, { readonly: true })
  try {
    return ledger.prepare(sql).all() as Record<string, unknown>[]
  } finally {
    ledger.close()
  }
}
