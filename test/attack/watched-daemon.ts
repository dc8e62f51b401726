// The daemon under attack, and what is watched of it from outside: the same process lives on, says nothing of a fault of its
// own, keeps nothing, and serves another user.
import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect } from 'vitest'
import { isReasonCode, type ReasonCode } from '../../src/base/errors.js'
import { type Answer, type Message, sendAll } from '../slurm/raw-request.js'
import { type ConfigOverrides, type Daemon, startDaemon, stopDaemons } from '../world/daemon.js'
import { expectNothingLeft } from '../world/runs.js'
import { as, expectSuccess } from '../world/world.js'

/** On this partition jobs share a core: one never waits for another. */
export const shared = ['-Q', '-p', 'shared']

export const attackScript = (name: string): string =>
  `/opt/hepwrap/test/attack/attackers/${name}.py`

/** Of the whole file: started before its attacks, judged after them. Nobody is slowed but where the config says so. */
export function watchDaemon({ limits, ...config }: ConfigOverrides = {}) {
  let daemon: Daemon
  let pid = 0
  beforeAll(async () => {
    const more = { requests_per_second: 100_000, requests_burst: 100_000, ...limits }
    daemon = await startDaemon({ config: { ...config, limits: more } })
    pid = daemon.pid
  })
  afterAll(async () => {
    try {
      await expectNothingLeft(undefined, 15_000) // of a busy node's last run
      expectSound()
    } finally {
      await stopDaemons()
    }
  })
  const field = (name: string) => {
    const status = readFileSync(`/proc/${daemon.pid}/status`, 'utf8')
    return Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1])
  }
  /** The one process, and a log of one JSON object a line, none of which tells of a fault. */
  const expectSound = () => {
    expect([daemon.pid, field('Pid')]).toEqual([pid, pid])
    const lines = daemon.logText().split('\n').slice(0, -1)
    expect(lines.filter((line) => !isPlainObject(line))).toEqual([])
    expect(lines.filter((line) => /^\{"level":[56]0/.test(line))).toEqual([])
  }
  return {
    get daemon() {
      return daemon
    },
    openFiles: () => readdirSync(`/proc/${daemon.pid}/fd`).length,
    rssMib: () => field('VmRSS') / 1024,
    rows: (uid = 2001) => daemon.ledgerRows().filter((row) => row['uid'] === uid),
    expectSound,
  }
}

function isPlainObject(line: string): boolean {
  // Nothing that steers a terminal, and no line within the line: of an object's own text and of its values.
  if (/[\u0000-\u001f\u007f\u0085\u2028\u2029]/.test(line)) return false
  try {
    return line.startsWith('{') && typeof JSON.parse(line) === 'object'
  } catch {
    return false
  }
}

export async function expectBobServed(): Promise<void> {
  const argv = [...shared, 'hepwrap', 'run', 'busybox:test', 'echo', 'served']
  const { stdout } = expectSuccess(await as('bob').srun(argv, { timeoutMs: 40_000 }))
  expect(stdout).toBe('served\n')
}

/** By alice, from a job; each must be ended by the daemon. */
export async function attempt(messages: readonly Message[], seconds = 10): Promise<Verdict[]> {
  const answers = await sendAll('alice', messages, { seconds })
  return answers.map((answer) => ({ ...answer, ...verdictOf(answer.text) }))
}

export interface Verdict extends Answer {
  /** Of every HTTP reply on the connection. */
  statuses: number[]
  /** The reason code of the last JSON object, if it has one. */
  code: ReasonCode | undefined
  /** How the run ended, if there was one. */
  exit: number | undefined
  runId: string | undefined
}

function verdictOf(text: string): Pick<Verdict, 'statuses' | 'code' | 'exit' | 'runId'> {
  const statuses = [...text.matchAll(/HTTP\/1\.[01] (\d{3})/g)].map(([, status]) => Number(status))
  const [, json] = /(\{"(?:code|run_id)":[^\n]*\})\s*$/.exec(text) ?? []
  const last = json === undefined ? {} : (JSON.parse(json) as Record<string, unknown>)
  const { code, exit, run_id: runId } = last as { code?: string; exit?: number; run_id?: string }
  expect(code === undefined || isReasonCode(code), text).toBe(true)
  expect(code, text).not.toBe('HW_INTERNAL')
  expect(text).not.toMatch(/node_modules|node:internal|\.js:\d/)
  return { statuses, code: code as ReasonCode | undefined, exit, runId }
}

/** One reply of this status in our words, and the connection closed. */
export function expectRefused(verdicts: readonly Verdict[], ...allowed: number[]): void {
  for (const { statuses, isClosed, code, text } of verdicts) {
    expect({ count: statuses.length, isClosed }, text).toEqual({ count: 1, isClosed: true })
    expect(allowed, text).toContain(statuses[0])
    expect(code, text).toBeDefined()
  }
}

/** Refused in our words, or run to its end. */
export function expectAnswered(verdicts: readonly Verdict[]): void {
  for (const { exit, code, isClosed, text } of verdicts) {
    expect(isClosed, text).toBe(true)
    expect(exit, text).toBeDefined()
    expect(exit !== 125 || code !== undefined, text).toBe(true)
  }
}

export function expectAllRefused(verdicts: readonly Verdict[]): void {
  expectAnswered(verdicts)
  for (const { exit, text } of verdicts) expect(exit, text).toBe(125)
}
