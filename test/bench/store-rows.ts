// Made-up records of a site: 200 users, 60 accounts, 300 images, 5,000 nodes, a year. The same ones each time.
import { AT, STORED_COLUMNS, type StoredRow } from '../../src/store/stored-row.js'
import type { UsageRecord } from '../../src/wire/usage-api.js'

export const SITE = { users: 200, accounts: 60, images: 300, nodes: 5000, days: 365 }
/** The year ends here. */
export const NOW_MS = Date.UTC(2026, 10, 20, 10)
const DAY_MS = 86_400_000

export type Random = () => number

/** mulberry32 */
export function createRandom(seed: number): Random {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const pick = <T>(random: Random, list: readonly T[]): T => list[Math.floor(random() * list.length)]!
/** The first ones far more often. */
const few = (random: Random, count: number) => Math.floor(count * random() ** 2.5)

interface Person {
  readonly name: string
  readonly uid: number
  readonly accounts: readonly string[]
  readonly images: readonly string[]
}

const people: readonly Person[] = (() => {
  const random = createRandom(7)
  return Array.from({ length: SITE.users }, (_, index) => ({
    name: `user${String(index).padStart(3, '0')}`,
    uid: 10_000 + index,
    accounts: Array.from({ length: 1 + (index % 2) }, () => `account${few(random, SITE.accounts)}`),
    images: Array.from(
      { length: 4 + (index % 5) },
      () => `registry.example/group/image${Math.floor(random() * SITE.images)}:1.0`,
    ),
  }))
})()

const ODD_STATES = ['FAILED', 'FAILED', 'FAILED', 'CANCELLED', 'TIMEOUT', 'OUT_OF_MEMORY'] as const

const hex = (random: Random, digits: number) => {
  let text = ''
  while (text.length < digits)
    text += Math.floor(random() * 2 ** 32)
      .toString(16)
      .padStart(8, '0')
  return text.slice(0, digits)
}

export const nodeName = (index: number) => `wn${String(index).padStart(4, '0')}.cluster.example`

export interface Where {
  readonly node: number
  /** When it ended. */
  readonly endedMs: number
}

export const anywhere = (random: Random, days = SITE.days): Where => ({
  node: Math.floor(random() * SITE.nodes),
  endedMs: NOW_MS - Math.floor(random() * days * DAY_MS),
})

export function makeRow(random: Random, { node, endedMs }: Where): UsageRecord {
  const person = people[few(random, SITE.users)]!
  const image = person.images[few(random, person.images.length)]!
  const elapsedMs = Math.floor(60_000 + random() ** 3 * 6 * 3_600_000)
  const cpus = pick(random, [1, 1, 4, 8])
  const used = Math.floor(elapsedMs * 1000 * cpus * (0.5 + random() / 2))
  const state = random() < 0.93 ? 'COMPLETED' : pick(random, ODD_STATES)
  const iso = (epochMs: number) => new Date(epochMs).toISOString()
  return {
    id: hex(random, 32),
    cluster: 'hepp',
    node: nodeName(node),
    job_id: Math.floor(random() * 1e8),
    array_job_id: null,
    array_task_id: null,
    het_offset: null,
    restart_count: 0,
    step_id: '0',
    task: 0,
    user: person.name,
    uid: person.uid,
    group: 'atlas',
    gid: 3000,
    account: pick(random, person.accounts),
    partition: 'main',
    image,
    image_id: `sha256:${image.length}${'5'.repeat(62)}`,
    image_digest: null,
    command: `/opt/run/reco --input run${Math.floor(random() * 1e6)}.root --events 5000`,
    name: null,
    labels: null,
    engine: 'docker',
    engine_version: '20.10.24',
    state,
    reason: null,
    exit_code: state === 'COMPLETED' ? 0 : 1,
    signal: null,
    oom_kills: 0,
    created_at: iso(endedMs - elapsedMs - 900),
    started_at: iso(endedMs - elapsedMs),
    ended_at: iso(endedMs),
    pull_ms: null,
    setup_ms: 80,
    cpu_user_usec: used,
    cpu_system_usec: Math.floor(used / 20),
    memory_peak_bytes: Math.floor(random() * 4e9),
    io_read_bytes: Math.floor(random() * 1e10),
    io_write_bytes: Math.floor(random() * 1e9),
    pids_peak: 12,
    cpus,
    memory_limit_bytes: 2 ** 32,
    gres: null,
    rule: null,
  }
}

/** What counts of such a record, and nothing else: for a year's rollups in a minute. */
export function makeCountedRow(random: Random, daysAgo: number, days: number): StoredRow {
  const person = people[few(random, SITE.users)]!
  const endedMs = NOW_MS - Math.floor((daysAgo - random() * days) * DAY_MS)
  const elapsedMs = Math.floor(60_000 + random() ** 3 * 6 * 3_600_000)
  const cpus = pick(random, [1, 1, 4, 8])
  const used = Math.floor(elapsedMs * 1000 * cpus * (0.5 + random() / 2))
  const row = new Array<string | number | null>(STORED_COLUMNS.length).fill(null)
  row[AT.cluster] = 'hepp'
  row[AT.node] = NODES[Math.floor(random() * SITE.nodes)]!
  row[AT.user] = person.name
  row[AT.uid] = person.uid
  row[AT.account] = pick(random, person.accounts)
  row[AT.image] = person.images[few(random, person.images.length)]!
  row[AT.state] = random() < 0.93 ? 'COMPLETED' : pick(random, ODD_STATES)
  row[AT.started_at] = endedMs - elapsedMs
  row[AT.ended_at] = endedMs
  row[AT.closed_ms] = endedMs
  row[AT.cpus] = cpus
  row[AT.cpu_user_usec] = used
  row[AT.cpu_system_usec] = Math.floor(used / 20)
  row[AT.memory_peak_bytes] = Math.floor(random() * 4e9)
  row[AT.io_read_bytes] = Math.floor(random() * 1e10)
  row[AT.io_write_bytes] = Math.floor(random() * 1e9)
  return row
}

const NODES = Array.from({ length: SITE.nodes }, (_, index) => nodeName(index))
