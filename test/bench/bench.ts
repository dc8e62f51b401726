// The benchmark: hepwrap beside docker, both sides of each pair from one run of it, in one table. Both are started by a
// user's process inside a real job step. Docker gets the same user, groups, cgroup, network and restrictions; for that
// its socket is opened to everybody, which is why nobody should do it this way.
import { chmodSync, closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { type Daemon, startDaemon, stopDaemons } from '../world/daemon.js'
import { eventually } from '../world/eventually.js'
import { containers, processes } from '../world/traces.js'
import { memoryOf, median, percentile, printTable, type Row } from './figures.js'
import { inStep, msOf, timed, turn } from './in-step.js'

const PAIRS = 40
const CROWD = 32
const CROWD_ROUNDS = 3
const STREAM_ROUNDS = 3
const STREAM_BYTES = 1e9

const HEPWRAP = ['hepwrap', 'run', 'busybox:test']
/** The user's memory cgroup: the one that Slurm's own limits and accounting are in. */
const DOCKER = `docker run --rm -u 2001:2001 --group-add 3000 --cgroup-parent $STEP --network host
  --log-driver none --cap-drop ALL --security-opt no-new-privileges busybox:test`.split(/\s+/)

async function main(): Promise<void> {
  chmodSync('/run/docker.sock', 0o666)
  const daemon = await startDaemon({ config: { node: { log_level: 'info' } } })
  const rows: Row[] = []
  const idle = memoryOf(daemon.pid)
  await timed([turn('hepwrap', [...HEPWRAP, 'true']), turn('docker', [...DOCKER, 'true'])]) // warm
  for (const measure of [launches, crowds, streams, memory]) {
    console.error(`bench: ${measure.name}`)
    rows.push(...(await measure(daemon, idle)))
  }
  printTable(rows)
  await stopDaemons()
}

/** One launch of `true` at a time, alternating. */
async function launches(daemon: Daemon): Promise<Row[]> {
  const before = starts(daemon).length
  const pair = [turn('hepwrap', [...HEPWRAP, 'true']), turn('docker', [...DOCKER, 'true'])]
  const turns = Array.from({ length: PAIRS }, () => [...pair, turn('node', ['node', '-e', '0'])])
  const results = await timed(turns.flat())
  const [hepwrap, docker, node] = ['hepwrap', 'docker', 'node'].map((name) => msOf(results, name))
  const row = compared(`launch of true, median of ${PAIRS} pairs`, hepwrap!, docker!)
  return [
    row,
    { what: 'a bare `node -e 0`, of which the client is one', hepwrap: ms(median(node!)) },
    ...ownShare("the daemon's own share of a launch", starts(daemon).slice(before)),
    {
      what: "one fdatasync on the ledger's disk, of which a launch has 3",
      hepwrap: spread(diskWrites(daemon)),
    },
  ]
}

/** What a durable write costs here and now, whoever writes it. */
function diskWrites({ stateDirectory }: Daemon): number[] {
  const fd = openSync(join(stateDirectory, 'bench'), 'wx', 0o600)
  const took = Array.from({ length: PAIRS }, () => {
    writeSync(fd, Buffer.alloc(4096))
    const began = performance.now()
    fdatasyncSync(fd)
    return performance.now() - began
  })
  closeSync(fd)
  return took
}

async function crowds(daemon: Daemon): Promise<Row[]> {
  const before = starts(daemon).length
  const round = [
    turn('hepwrap', [...HEPWRAP, 'true'], CROWD),
    turn('docker', [...DOCKER, 'true'], CROWD),
  ]
  const results = await timed(Array.from({ length: CROWD_ROUNDS }, () => round).flat())
  const name = `${CROWD} launches at once, median of ${CROWD_ROUNDS}`
  return [
    compared(name, msOf(results, 'hepwrap'), msOf(results, 'docker')),
    ...ownShare(`  the daemon's own share among ${CROWD}`, starts(daemon).slice(before)),
  ]
}

/** 1 GB to stdout, attached: to /dev/null itself, and through a pipe that somebody reads. */
async function streams(): Promise<Row[]> {
  const write = ['dd', 'if=/dev/zero', 'bs=1M', `count=${Math.ceil(STREAM_BYTES / 2 ** 20)}`]
  const piped = (argv: string[]) => ['sh', '-c', `${argv.join(' ')} 2>/dev/null | cat >/dev/null`]
  const plain = (argv: string[]) => ['sh', '-c', `exec ${argv.join(' ')} 2>/dev/null`]
  const results = await timed(
    Array.from({ length: STREAM_ROUNDS }, () => [
      turn('hepwrap null', plain([...HEPWRAP, ...write])),
      turn('docker null', plain([...DOCKER, ...write])),
      turn('hepwrap pipe', piped([...HEPWRAP, ...write])),
      turn('docker pipe', piped([...DOCKER, ...write])),
    ]).flat(),
  )
  const rates = (name: string) =>
    msOf(results, name).map((took) => STREAM_BYTES / 1e6 / (took / 1e3))
  return ['null', 'pipe'].map((where) => {
    const [own, other] = [median(rates(`hepwrap ${where}`)), median(rates(`docker ${where}`))]
    const target = where === 'null' ? '/dev/null' : 'a pipe'
    return {
      what: `1 GB of stdout to ${target}, median of ${STREAM_ROUNDS}`,
      hepwrap: `${own.toFixed(0)} MB/s`,
      docker: `${other.toFixed(0)} MB/s`,
      ratio: own / other,
    }
  })
}

/** Of what waits while containers run; the daemon's growth is counted per container. */
async function memory(daemon: Daemon, idle: number): Promise<Row[]> {
  const before = memoryOf(daemon.pid)
  const hold = (argv: string[]) =>
    `for n in $(seq ${CROWD}); do ${argv.join(' ')} sleep 300 & done; wait`
  const own = await held(hold(HEPWRAP), /^\S*node .*hepwrap\.c?js run/)
  const growth = (memoryOf(daemon.pid) - before) / CROWD
  const ownClients = sizesOf(own.clients)
  await own.end()
  const other = await held(hold(DOCKER), /^docker run/)
  const otherClients = sizesOf(other.clients)
  await other.end()
  return [
    ...(['Rss', 'Pss'] as const).map((size) => ({
      what: `a waiting client, ${size.toUpperCase()}, median of ${CROWD}`,
      hepwrap: mib(ownClients[size]),
      docker: mib(otherClients[size]),
      ratio: ownClients[size] / otherClients[size],
    })),
    { what: 'the daemon, PSS, just started', hepwrap: mib(idle) },
    { what: 'the daemon, PSS, idle after all of the above', hepwrap: mib(before) },
    { what: `the daemon's growth per running container, of ${CROWD}`, hepwrap: mib(growth) },
  ]
}

const sizesOf = (pids: number[]) => ({
  Rss: median(pids.map((pid) => memoryOf(pid, 'Rss'))),
  Pss: median(pids.map((pid) => memoryOf(pid))),
})

/** Starts a crowd that waits, and finds its clients. */
async function held(script: string, clientPattern: RegExp) {
  const step = inStep(script)
  await eventually(() => processes(/^sleep 300$/).length === CROWD, {
    timeoutMs: 60_000,
    what: `${CROWD} containers`,
  })
  return {
    clients: processes(clientPattern).map(({ pid }) => pid),
    end: async () => {
      for (const { pid } of processes(/^sleep 300$/)) process.kill(pid, 'SIGKILL')
      await step.result
      await eventually(async () => (await containers()).length === 0, { timeoutMs: 30_000 })
    },
  }
}

const ms = (value: number) => `${value.toFixed(value < 100 ? 1 : 0)} ms`
const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(2)} MiB`

function compared(what: string, hepwrap: number[], docker: number[]): Row {
  const [own, other] = [median(hepwrap), median(docker)]
  return { what, hepwrap: ms(own), docker: ms(other), ratio: own / other }
}

interface Start {
  own_ms: number
  parts: Record<string, number>
}

const starts = (daemon: Daemon): Start[] =>
  daemon.log().filter(({ msg }) => msg === 'run started') as unknown as Start[]

const spread = (values: number[]) =>
  `${percentile(values, 50).toFixed(2)} / ${percentile(values, 95).toFixed(2)} ms`

function ownShare(what: string, launched: Start[]): Row[] {
  const names = Object.keys(launched[0]?.parts ?? {})
  return [
    { what: `${what}, p50 / p95`, hepwrap: spread(launched.map(({ own_ms }) => own_ms)) },
    ...names.map((name) => ({
      what: `    ${name}`,
      hepwrap: spread(launched.map(({ parts }) => parts[name] ?? 0)),
    })),
  ]
}

await main()
