// What this node is, for whoever reads its records later: processor, memory, kernel, engine, benchmark. Written to the ledger
// once a change, at the start and once a day, off the way of any run.
// Of systeminformation only `mem` is asked, which reads /proc/meminfo: its cpu() and osInfo() start lscpu, dmidecode and cat
// through a shell (5.33), which a root daemon does not. What those would say is read from the same files here.
import { readFile } from 'node:fs/promises'
import { release } from 'node:os'
import { rfc3339 } from '../base/clock.js'
import { VERSION } from '../base/version.js'
import { within } from '../base/within.js'
import { readProcessors } from '../proc/processors.js'
import type { FactsNow } from '../accounting/node-facts-table.js'
import type { Daemon } from './compose.js'

const DAY_MS = 24 * 3_600_000
/** An engine that is not there yet. */
const AGAIN_MS = 60_000
const MOST_MS = 10_000
const MOST_CHARACTERS = 256

/** Notes the facts now and then; returns how to stop. */
export function watchNodeFacts(daemon: Daemon): () => void {
  let timer: NodeJS.Timeout | undefined
  const look = async () => {
    let againMs = AGAIN_MS
    try {
      const late = () => new Error(`not within ${MOST_MS} ms`)
      const facts = await within(MOST_MS, gatherFacts(daemon), late)
      if (facts.engine !== null) againMs = DAY_MS
      // An engine that is down is no other engine: what was known of it stands until it answers.
      if (facts.engine !== null || daemon.ledger.nodeFacts.newest() === undefined)
        noteFacts(facts, daemon)
    } catch (error) {
      daemon.log.warn({ err: error }, "the node's facts could not be gathered")
    }
    if (!daemon.isStopping()) timer = setTimeout(() => void look(), againMs).unref()
  }
  void look()
  return () => clearTimeout(timer)
}

function noteFacts(facts: FactsNow, { ledger, clock, log, isStopping }: Daemon): void {
  if (isStopping()) return
  if (ledger.nodeFacts.note(facts, rfc3339(clock.nowMs()))) log.info(facts, 'what this node is')
}

export async function gatherFacts({ config, engineFacts }: Daemon): Promise<FactsNow> {
  const [memoryBytes, os, engine] = await Promise.all([
    readMemory(),
    readOsName(),
    engineFacts().catch(() => undefined),
  ])
  const { model, sockets, cores, threads } = readProcessors()
  return {
    cpu_model: text(model),
    sockets: sockets ?? null,
    cores: cores ?? null,
    threads,
    memory_bytes: memoryBytes,
    kernel: text(release()),
    os: text(os),
    engine: text(engine?.name),
    engine_version: text(engine?.version),
    hepwrap_version: VERSION,
    hepscore: config.node.hepscore === 0 ? null : config.node.hepscore,
  }
}

/** Loaded when it is wanted: nobody's run needs it. */
async function readMemory(): Promise<number | null> {
  const { mem } = await import('systeminformation')
  const { total } = await mem()
  return Number.isSafeInteger(total) && total > 0 ? total : null
}

/** PRETTY_NAME of os-release(5). */
async function readOsName(): Promise<string | undefined> {
  for (const path of ['/etc/os-release', '/usr/lib/os-release']) {
    const release = await readFile(path, 'utf8').catch(() => '')
    const name = /^PRETTY_NAME=(?:"([^"\n]*)"|'([^'\n]*)'|(\S*))$/m.exec(release)
    if (name !== null) return name[1] ?? name[2] ?? name[3]
  }
  return undefined
}

const text = (value: string | undefined): string | null =>
  value === undefined || value === '' ? null : value.slice(0, MOST_CHARACTERS)
