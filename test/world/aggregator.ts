// A real hepwrap-aggregator, started as an admin would: by an unprivileged user, with a config of the test's own.
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  writeFileSync,
} from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { stringify } from 'smol-toml'
import { requestLine, sha256Hex } from '../../src/trust/request-line.js'
import { selfSigned } from '../support/self-signed.js'
import { eventually } from './eventually.js'
import { freshDatabase } from './postgres.js'
import { as, expectSuccess, type User } from './world.js'

type Value = string | number | boolean | readonly string[]

export interface AggregatorOptions {
  /** default: an SQLite file below its own directory */
  store?: 'sqlite' | 'postgres'
  /** in place of `store`: a URL */
  storeUrl?: string
  /** replaces single keys of the test config */
  config?: Partial<Record<'server' | 'store' | 'auth', Record<string, Value>>>
  /** auth by token; holders as in the token file ("node hepp/n1"), each with its token */
  tokens?: Readonly<Record<string, string>>
  /** https with a certificate of its own */
  tls?: boolean
  env?: Record<string, string>
  /** of node itself: ["--max-old-space-size=256"] */
  nodeOptions?: readonly string[]
}

export interface Aggregator {
  readonly pid: number
  /** "http://127.0.0.1:PORT" */
  readonly url: string
  readonly configPath: string
  /** of SQLite */
  readonly databasePath: string
  readonly storeUrl: string
  /** with tls: who vouches for it */
  readonly caFile: string
  /** all that it has logged, also before a restart; one JSON object a line */
  log: () => Record<string, unknown>[]
  logText: () => string
  /** SIGTERM, as systemd would; answers the exit status */
  stop: () => Promise<number | null>
  /** sends a signal and waits for the end if it is one that ends it */
  kill: (signal?: NodeJS.Signals) => Promise<void>
  /** starts it again with the same config and store */
  restart: () => Promise<void>
}

/** nobody's */
export const AGGREGATOR_UID = 65_534
const PROGRAM = '/opt/hepwrap/dist/bin/hepwrap-aggregator.js'

const running = new Set<ChildProcess>()

export async function startAggregator(options: AggregatorOptions = {}): Promise<Aggregator> {
  const directory = mkdtempSync('/srv/aggregator-')
  chmodSync(directory, 0o755)
  const state = join(directory, 'state')
  mkdirSync(state)
  chownSync(state, AGGREGATOR_UID, AGGREGATOR_UID)
  const databasePath = join(state, 'aggregator.db')
  const storeUrl =
    options.storeUrl ??
    (options.store === 'postgres' ? await freshDatabase() : `sqlite:${databasePath}`)
  const port = await freePort()
  const tls = options.tls === true ? writeTls(directory) : undefined
  const configPath = join(directory, 'aggregator.toml')
  const sections = testConfig(options, directory, { listen: `127.0.0.1:${port}`, storeUrl, tls })
  writeFileSync(configPath, stringify(sections), { mode: 0o640 })
  chownSync(configPath, 0, AGGREGATOR_UID)
  const logPath = join(directory, 'aggregator.log')
  const url = `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`
  let child = await launch(configPath, logPath, options)
  return {
    get pid() {
      return child.pid!
    },
    url,
    configPath,
    databasePath,
    storeUrl,
    caFile: tls?.cert ?? '',
    logText: () => readFileSync(logPath, 'utf8'),
    log: () => parseLines(readFileSync(logPath, 'utf8')),
    stop: () => end(child, 'SIGTERM'),
    kill: async (signal = 'SIGKILL') => {
      if (signal === 'SIGSTOP' || signal === 'SIGCONT' || signal === 'SIGHUP') child.kill(signal)
      else await end(child, signal)
    },
    restart: async () => {
      if (isAlive(child)) await end(child, 'SIGTERM')
      child = await launch(configPath, logPath, options)
    },
  }
}

interface Place {
  readonly listen: string
  readonly storeUrl: string
  readonly tls: ReturnType<typeof writeTls> | undefined
}

function testConfig(
  options: AggregatorOptions,
  directory: string,
  { listen, storeUrl, tls }: Place,
): Record<string, Record<string, Value>> {
  return {
    server: {
      listen,
      log_level: 'debug',
      ...(tls && { tls_cert: tls.cert, tls_key: tls.key }),
      ...options.config?.server,
    },
    store: { url: storeUrl, ...options.config?.store },
    auth: {
      ...(options.tokens && {
        method: 'token',
        token_file: writeTokens(directory, options.tokens),
      }),
      ...options.config?.auth,
    },
  }
}

/** For afterEach: whatever a test left running. */
export async function stopAggregators(): Promise<void> {
  await Promise.all([...running].map((child) => end(child, 'SIGTERM')))
}

export interface Asked {
  method?: string
  path: string
  body?: string | Uint8Array
  headers?: Record<string, string>
}

/** One request with a MUNGE credential of this user, made by munge(1) as he would. */
export async function askAs(
  user: User,
  { url }: Pick<Aggregator, 'url'>,
  { method = 'GET', path, body = '', headers = {} }: Asked,
): Promise<Response> {
  const authorization = await credentialOf(user, method, path, body)
  return fetch(url + path, {
    method,
    headers: { authorization, ...headers },
    redirect: 'manual',
    ...(method !== 'GET' && { body: Buffer.from(body) }),
  })
}

/** The header that this user's munge(1) makes for this request. */
export async function credentialOf(
  user: User,
  method: string,
  target: string,
  body: string | Uint8Array = '',
): Promise<string> {
  const line = requestLine({ method, target, bodySha256: sha256Hex(body) })
  const { stdout } = expectSuccess(await as(user).run(['munge', '-s', line]))
  return `MUNGE ${stdout.trim()}`
}

/** A link for a browser, in this user's name. */
export async function sessionLink(user: User, aggregator: Aggregator): Promise<string> {
  const reply = await askAs(user, aggregator, { method: 'POST', path: '/v1/sessions' })
  if (reply.status !== 201) throw new Error(`no session: ${reply.status} ${await reply.text()}`)
  const { url } = (await reply.json()) as { url: string }
  return new URL(url, aggregator.url).href
}

async function launch(
  configPath: string,
  logPath: string,
  { env = {}, nodeOptions = [] }: AggregatorOptions,
): Promise<ChildProcess> {
  const log = openSync(logPath, 'a')
  const from = readFileSync(logPath, 'utf8').length
  const child = spawn('/usr/local/bin/node', [...nodeOptions, PROGRAM, '--config', configPath], {
    cwd: '/',
    uid: AGGREGATOR_UID,
    gid: AGGREGATOR_UID,
    env: { PATH: '/usr/local/bin:/usr/bin:/bin', LANG: 'C.UTF-8', ...env },
    stdio: ['ignore', log, log],
  })
  closeSync(log)
  running.add(child)
  child.on('exit', () => running.delete(child))
  const written = () => readFileSync(logPath, 'utf8').slice(from)
  await eventually(() => !isAlive(child) || written().includes('hepwrap-aggregator listens'), {
    what: 'hepwrap-aggregator to listen',
  })
  if (!isAlive(child)) throw new Error(`hepwrap-aggregator did not start:\n${written()}`)
  return child
}

function writeTls(directory: string): { cert: string; key: string } {
  const { cert, key } = selfSigned()
  const paths = { cert: join(directory, 'cert.pem'), key: join(directory, 'key.pem') }
  writeFileSync(paths.cert, cert)
  writeFileSync(paths.key, key, { mode: 0o640 })
  chownSync(paths.key, 0, AGGREGATOR_UID)
  return paths
}

function writeTokens(directory: string, tokens: Readonly<Record<string, string>>): string {
  const path = join(directory, 'tokens')
  const lines = Object.entries(tokens).map(([holder, token]) => `${holder} ${sha256Hex(token)}\n`)
  writeFileSync(path, lines.join(''), { mode: 0o640 })
  chownSync(path, 0, AGGREGATOR_UID)
  return path
}

/** A file with a token, as a client has it. */
export function writeToken(token: string): string {
  const path = join(mkdtempSync('/srv/token-'), 'token')
  writeFileSync(path, `${token}\n`, { mode: 0o600 })
  return path
}

export const newToken = (): string => randomBytes(24).toString('base64url')

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

function isAlive(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (!isAlive(child)) return child.exitCode
  const ended = new Promise<number | null>((resolve) => child.on('exit', resolve))
  child.kill(signal)
  const timer = setTimeout(() => child.kill('SIGKILL'), 20_000)
  const status = await ended
  clearTimeout(timer)
  return status
}

function parseLines(text: string): Record<string, unknown>[] {
  const lines = text.split('\n').filter((line) => line.startsWith('{'))
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>)
}
