// hepwrap-aggregator from its command line to its end: load, open the store, listen, stop.
import { readFileSync, statSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { asHepwrapError, HepwrapError, quote } from '../base/errors.js'
import type { Logger } from '../base/log.js'
import { VERSION } from '../base/version.js'
import type { AggregatorConfig } from '../config/aggregator-schema.js'
import {
  DEFAULT_AGGREGATOR_CONFIG_PATH,
  loadAggregatorConfig,
  splitListen,
} from '../config/load-aggregator.js'
import { openStore } from '../store/open-store.js'
import { readGroupSecret } from '../trust/secret-file.js'
import { parseTokenList, type TokenList } from '../trust/token-list.js'
import { buildApp, type TlsFiles } from './app.js'
import { compose, type Aggregator } from './compose.js'
import { startExpiry } from './expiry.js'

const HELP = `hepwrap-aggregator: keeps the accounting records of all nodes, and answers for them. Not root; one a site.

  --config FILE    default ${DEFAULT_AGGREGATOR_CONFIG_PATH}
  --check-config   say what is wrong with the configuration, and exit 0 or 1
  --version
  --help
`
const STOP_WAIT_MS = 10_000
/** Connections that wait to be accepted: all nodes of a large site may come at once. */
const BACKLOG = 4096

/** Returns the exit status; undefined: it runs, and ends by a signal. */
export async function aggregatorMain(args: readonly string[]): Promise<number | undefined> {
  try {
    const options = parseOptions(args)
    if (options.help === true) return say(HELP)
    if (options.version === true) return say(`hepwrap-aggregator ${VERSION}\n`)
    const path = options.config ?? DEFAULT_AGGREGATOR_CONFIG_PATH
    const config = loadAggregatorConfig(path)
    const files = readFiles(config)
    if (options['check-config'] === true) return say(`${path}: ok\n`)
    if (process.getuid?.() === 0)
      throw new HepwrapError(
        'HW_CONFIG_INVALID',
        'hepwrap-aggregator must not run as root: give it a user of its own',
      )
    await serve(config, files)
    return undefined
  } catch (thrown) {
    const { message, code } = asHepwrapError(thrown)
    process.stderr.write(`hepwrap-aggregator: ${message} (${code})\n`)
    return 1
  }
}

function parseOptions(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        config: { type: 'string' },
        'check-config': { type: 'boolean' },
        help: { type: 'boolean' },
        version: { type: 'boolean' },
      },
    }).values
  } catch (cause) {
    throw new HepwrapError('HW_USAGE', asHepwrapError(cause).message, { cause })
  }
}

function say(text: string): number {
  process.stdout.write(text)
  return 0
}

interface Files {
  readonly tls: TlsFiles | undefined
  readonly tokens: TokenList
}

function readFiles({ server, auth }: AggregatorConfig): Files {
  const tls =
    server.tls_cert === ''
      ? undefined
      : { cert: read(server.tls_cert), key: readKey(server.tls_key) }
  return { tls, tokens: readTokens(auth.token_file) }
}

const readTokens = (path: string): TokenList =>
  path === '' ? parseTokenList('', path) : parseTokenList(readGroupSecret(path), path)

// Certificates are renewed by programs that lay links: only who can read the key matters.
function readKey(path: string): string {
  const key = read(path)
  if ((statSync(path).mode & 0o007) !== 0)
    throw new HepwrapError(
      'HW_CONFIG_INVALID',
      `${quote(path)} can be read by others, and holds a key`,
    )
  return key
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new HepwrapError(
      'HW_CONFIG_INVALID',
      `${quote(path)} cannot be read: ${asHepwrapError(cause).message}`,
      { cause },
    )
  }
}

async function serve(config: AggregatorConfig, files: Files): Promise<void> {
  let { tokens } = files
  const aggregator = await compose({
    config,
    openStore: () => openStore(config.store.url),
    tokens: () => tokens,
  })
  const { log, store } = aggregator
  process.on('unhandledRejection', (error) =>
    log.error({ err: error }, 'a rejection that nobody awaited'),
  )
  process.on('SIGHUP', () => {
    tokens = reread(config.auth.token_file, tokens, log)
    aggregator.sessions.clear() // they are as good as what they were given for
  })
  const app = buildApp(aggregator, files.tls)
  await app.listen({ ...splitListen(config.server.listen), backlog: BACKLOG })
  const endExpiry = startExpiry(aggregator)
  const { listen } = config.server
  log.info(
    {
      listen,
      tls: files.tls !== undefined,
      store: store.description,
      version: VERSION,
    },
    'hepwrap-aggregator listens',
  )
  let isStopping = false
  const stop = (signal: string) => {
    if (isStopping) return
    isStopping = true
    log.info({ signal }, 'stopping')
    endExpiry()
    void close(aggregator, app).finally(() => process.exit(0))
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
}

/** What was taken is stored; who still reads after a while is cut off. */
async function close(
  { store, commits, log }: Aggregator,
  app: ReturnType<typeof buildApp>,
): Promise<void> {
  const late = setTimeout(() => app.server.closeAllConnections(), STOP_WAIT_MS)
  await app.close()
  clearTimeout(late)
  await commits.drain()
  await store.close()
  log.info('stopped')
}

function reread(path: string, known: TokenList, log: Logger): TokenList {
  try {
    const tokens = readTokens(path)
    log.info({ file: path }, 'the token file was read again')
    return tokens
  } catch (thrown) {
    log.error({ err: thrown }, 'the token file is not taken; the tokens are what they were')
    return known
  }
}
