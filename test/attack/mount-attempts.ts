// Runs asked for with mounts as no hepwrap client would ask: odd descriptors, each run in turn, all in one job step.
import { expect } from 'vitest'
import { FRAME } from '../../src/wire/frames.js'
import type { RunRequest } from '../../src/wire/run-api.js'
import { attacker, bareRequest } from '../slurm/raw-request.js'
import type { Daemon } from '../world/daemon.js'
import { eventually } from '../world/eventually.js'
import { as, expectSuccess, type Running, type User } from '../world/world.js'

/** How mounts.py comes to the descriptor, and of what. */
export interface OddMount {
  how: string
  path?: string
  target?: string
  /** what the request says the source is */
  source?: string
  read_only?: boolean
  origin?: 'user' | 'home' | 'cwd'
}

export interface Attempt {
  mounts: OddMount[]
  request?: Partial<RunRequest>
}

export interface Outcome {
  opened: (string | null)[]
  stdout: string
  stderr: string
  exit?: number
  code?: string
  message?: string
  run_id?: string
}

const shared = ['srun', '-Q', '-p', 'shared']

export async function attemptMounts(
  user: User,
  attempts: readonly Attempt[],
  before: string[] = shared,
): Promise<Outcome[]> {
  const argv = [...before, 'python3', attacker('mounts')]
  const input = attempts.map((attempt) => `${lineOf(attempt)}\n`).join('')
  const { stdout } = expectSuccess(await as(user).run(argv, { input, timeoutMs: 120_000 }))
  return stdout.trim().split('\n').map(parseOutcome)
}

const hex = (text: string) => Buffer.from(text).toString('hex')

function lineOf({ mounts, request }: Attempt): string {
  const said = mounts.map((mount, index) => ({
    source: mount.source ?? '/home/alice/innocent', // the text is the client's: it may say anything
    target: mount.target ?? '/m',
    read_only: mount.read_only ?? false,
    origin: mount.origin ?? 'user',
    fd: `@${index}`,
  }))
  const body = JSON.stringify({ ...bareRequest(request), mounts: said })
  return [body, ...mounts.flatMap(({ how, path = '' }) => [how, path])].map(hex).join(' ')
}

function parseOutcome(line: string): Outcome {
  const words = line.split(' ')
  const answer = Buffer.from(words.pop() ?? '', 'hex')
  const said = new Map<number, string>()
  let at = answer.indexOf('\r\n\r\n') + 4
  for (let end: number; at + 8 <= answer.length; at = end) {
    end = at + 8 + answer.readUInt32BE(at + 4)
    const [type, text] = [answer[at] ?? 0, answer.toString('utf8', at + 8, end)]
    said.set(type, type === FRAME.close ? text : (said.get(type) ?? '') + text)
  }
  return {
    opened: words.map((word) => (word === '-' ? null : word)),
    stdout: said.get(FRAME.stdout) ?? '',
    stderr: said.get(FRAME.stderr) ?? '',
    ...(JSON.parse(said.get(FRAME.close) ?? '{}') as Partial<Outcome>),
  }
}

/** One mount a run, each in turn; the command lists what it shows. */
export const attemptEach = (user: User, mounts: readonly OddMount[]): Promise<Outcome[]> =>
  attemptMounts(
    user,
    mounts.map((mount) => ({ mounts: [mount], request: { command: ['ls', '-laR', '/m'] } })),
  )

/** Each is refused with one of these codes, nothing of it was seen, and the ledger has the refusal of this user. */
export function expectRefused(
  daemon: Daemon,
  mounts: readonly OddMount[],
  outcomes: readonly Outcome[],
  codes: readonly string[],
): void {
  const rows = new Map(daemon.ledgerRows().map((row) => [row['id'], row]))
  expect(outcomes).toHaveLength(mounts.length)
  for (const [index, { stdout, exit, code, run_id: id }] of outcomes.entries()) {
    const label = JSON.stringify({ ...mounts[index], ...outcomes[index] })
    expect({ stdout, exit }, label).toEqual({ stdout: '', exit: 125 })
    expect(codes, label).toContain(code)
    expect(rows.get(id), label).toMatchObject({ state: 'REFUSED', reason: code, uid: 2001 })
  }
}

/** A user who gives a descriptor of a path to whoever asks at `meeting`. End his stdin to end him. */
export async function startGiving(
  user: User,
  [meeting, path]: readonly [string, string],
  { how = [], before = shared }: { how?: string[]; before?: string[] } = {},
): Promise<Running> {
  const giver = as(user).start([...before, 'python3', attacker('give'), meeting, path, ...how])
  const isReady = () => giver.stdoutSoFar().includes('ready')
  await eventually(isReady, { timeoutMs: 8000 }).catch(() => {
    throw new Error(`the giver is not ready: ${giver.stderrSoFar()}`)
  })
  return giver
}

export async function stopGiving(giver: Running): Promise<void> {
  giver.child.stdin?.end()
  expectSuccess(await giver.result)
}

/** Nothing that the daemon should not have met: no error line, no fault of its own. */
export function expectQuietLog(daemon: Daemon): void {
  const text = daemon.logText()
  expect(text).not.toMatch(/"level":(50|60)|HW_INTERNAL/)
}
