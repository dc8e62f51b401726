// Requests as no hepwrap client would send them, from a process of the user's: inside a job, or at the login prompt.
import { FRAME, frame } from '../../src/wire/frames.js'
import type { RunRequest } from '../../src/wire/run-api.js'
import { as, type User } from '../world/world.js'

export const attacker = (name: string): string => `/opt/hepwrap/test/slurm/attackers/${name}.py`

export const UPGRADE =
  'POST /v1/runs HTTP/1.1\r\nHost: hepwrap\r\nConnection: Upgrade\r\nUpgrade: hepwrap\r\n\r\n'

/** The least that the daemon takes for a request. */
export const bareRequest = (more: Partial<RunRequest> = {}): RunRequest => ({
  image: 'busybox:test',
  command: ['true'],
  env: {},
  host_env: {},
  all_host_env: false,
  interactive: false,
  tty: false,
  labels: {},
  network: 'host',
  read_only: false,
  ulimits: [],
  mounts: [],
  tmpfs: [],
  forbidden: [],
  cwd: '/',
  verbose: false,
  ...more,
})

/** The whole of a run's beginning, with any object, or any text, for a request. */
export const runBytes = (request: object | string): Buffer =>
  Buffer.concat([
    Buffer.from(UPGRADE),
    frame(FRAME.request, typeof request === 'string' ? Buffer.from(request) : request),
  ])

export interface Answer {
  text: string
  /** The daemon has closed the connection. */
  isClosed: boolean
  afterMs: number
}

export interface RawOptions {
  /** srun and its options; empty: outside of any job */
  before?: string[]
  /** how long to wait for the daemon to close */
  seconds?: number
  /** bytes more each second */
  drip?: number
}

export async function sendRaw(
  user: User,
  bytes: Buffer | string,
  { before = ['srun', '-Q'], seconds = 20, drip = 0 }: RawOptions = {},
): Promise<Answer> {
  const argv = ['python3', attacker('raw'), String(seconds), String(drip)]
  const { stdout, stderr } = await as(user).run([...before, ...argv], { input: bytes })
  const [, state, ms] = /(closed|open) (\d+)\s*$/.exec(stderr) ?? []
  if (state === undefined) throw new Error(`raw.py did not end well: ${stderr}`)
  return { text: stdout, isClosed: state === 'closed', afterMs: Number(ms) }
}
