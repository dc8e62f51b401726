// hepwrapd from its command line to its end: load, compose, recover, listen, watch, stop.
import { chmodSync, mkdirSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { dirname } from 'node:path'
import { parseArgs } from 'node:util'
import { asHepwrapError, HepwrapError, quote } from '../base/errors.js'
import { VERSION } from '../base/version.js'
import { DEFAULT_CONFIG_PATH, loadDaemonConfig } from '../config/load.js'
import { recover } from '../run/recover.js'
import { openAggregator } from './bookkeeping.js'
import { compose, type Daemon } from './compose.js'
import { serveMetrics } from './metrics-server.js'
import { readPublicKeys } from './public-keys.js'
import { buildServer } from './server.js'

const HELP = `hepwrapd: runs users' containers inside their Slurm jobs; root, one a node.

  --config FILE    default ${DEFAULT_CONFIG_PATH}
  --check-config   say what is wrong with the configuration, and exit 0 or 1
  --version
  --help
`
const RECOVERY_WAIT_MS = 20_000
const ORPHAN_CALLERS_MS = 1000
const ORPHAN_CONTAINERS_MS = 10_000

/** Returns the exit status; undefined: the daemon runs, and ends by a signal. */
export async function daemonMain(args: readonly string[]): Promise<number | undefined> {
  try {
    const options = parseOptions(args)
    if (options.help === true) return say(HELP)
    if (options.version === true) return say(`hepwrapd ${VERSION}\n`)
    const path = options.config ?? DEFAULT_CONFIG_PATH
    const config = loadDaemonConfig(path)
    if (options['check-config'] === true) {
      readPublicKeys(config)
      openAggregator(config)?.close()
      return say(`${path}: ok\n`)
    }
    if (process.getuid?.() !== 0)
      throw new HepwrapError('HW_ROOT_ONLY', 'hepwrapd must run as root')
    await serve(compose(config))
    return undefined
  } catch (thrown) {
    const { message, code } = asHepwrapError(thrown)
    process.stderr.write(`hepwrapd: ${message} (${code})\n`)
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

async function serve(daemon: Daemon): Promise<void> {
  const { config, log } = daemon
  process.on('unhandledRejection', (error) =>
    log.error({ err: error }, 'a rejection that nobody awaited'),
  )
  await claimSocket(config.node.socket) // before recovery: what it finds may be another daemon's, who serves
  const recovery = recover(daemon).catch((error: unknown) =>
    log.error({ err: error }, 'recovery failed'),
  )
  // An engine that hangs must not keep the node's socket away; the sweep goes on behind it.
  await Promise.race([
    recovery,
    new Promise((resolve) => setTimeout(resolve, RECOVERY_WAIT_MS).unref()),
  ])
  const server = buildServer(daemon)
  daemon.meters.watchDaemon(daemon)
  await claimSocket(config.node.socket)
  await server.listen({ path: config.node.socket })
  chmodSync(config.node.socket, 0o666) // who may do what is decided by the kernel's word on each caller
  const watches = [
    setInterval(() => daemon.live.endOrphans(), ORPHAN_CALLERS_MS),
    setInterval(() => void daemon.orphans.sweep(), ORPHAN_CONTAINERS_MS),
  ]
  log.info({ socket: config.node.socket, version: VERSION, pid: process.pid }, 'hepwrapd listens')
  daemon.bookkeeping.start(daemon)
  const metrics = await serveMetrics(daemon)

  const stop = async (signal: string) => {
    if (daemon.isStopping()) return
    daemon.beginStop()
    log.info({ signal, runs: daemon.live.all().length }, 'stopping')
    const graceMs = config.node.stop_timeout_s * 1000
    const runs = daemon.live.all()
    for (const run of runs)
      run.end({ code: 'HW_DAEMON_STOPPING', message: 'hepwrapd is being stopped', graceMs })
    await Promise.all(runs.map((run) => run.ended))
    watches.forEach((watch) => clearInterval(watch))
    server.server.closeAllConnections()
    await server.close()
    await metrics?.close()
    await daemon.bookkeeping.stop() // after the last record is closed
    daemon.ledger.close()
    log.info('stopped')
    process.exit(0)
  }
  process.on('SIGTERM', (signal) => void stop(signal))
  process.on('SIGINT', (signal) => void stop(signal))
}

/** The socket of a dead daemon is removed; one that answers is somebody's, and we do not start. */
async function claimSocket(path: string): Promise<void> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 })
  const isAnswered = await new Promise<boolean>((resolve) => {
    const probe = connect(path)
    probe.once('connect', () => {
      probe.destroy()
      resolve(true)
    })
    probe.once('error', () => resolve(false))
  })
  if (isAnswered)
    throw new HepwrapError('HW_CONFIG_INVALID', `another program answers at ${quote(path)}`)
  rmSync(path, { force: true })
}
