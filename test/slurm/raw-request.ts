// Requests as no hepwrap client would send them, from a process of the user's: inside a job, or at the login prompt.
import { FRAME, frame } from '../../src/wire/frames.js'
import type { RunRequest } from '../../src/wire/run-api.js'
import { someRequest } from '../support/some-request.js'
import { as, expectSuccess, type User } from '../world/world.js'

export const attacker = (name: string): string => `/opt/hepwrap/test/slurm/attackers/${name}.py`

export const UPGRADE =
  'POST /v1/runs HTTP/1.1\r\nHost: hepwrap\r\nConnection: Upgrade\r\nUpgrade: hepwrap\r\n\r\n'

/** The least that the daemon takes for a request. */
export const bareRequest = (more: Partial<RunRequest> = {}): RunRequest =>
  someRequest({ image: 'busybox:test', command: ['true'], ...more })

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

/** What is sent; an object goes on for ever, at so many bytes a second, or with -1 half-closes the connection. */
export type Message = Buffer | string | { start: Buffer | string; drip: number }

export interface RawOptions {
  /** srun and its options; empty: outside of any job */
  before?: string[]
  /** how long to wait for the daemon to close */
  seconds?: number
}

export const sendRaw = async (user: User, message: Message, options: RawOptions = {}) =>
  (await sendAll(user, [message], options))[0]!

/** Each on a connection of its own, all at once. */
export async function sendAll(
  user: User,
  messages: readonly Message[],
  { before = ['srun', '-Q', '-p', 'shared'], seconds = 20 }: RawOptions = {},
): Promise<Answer[]> {
  const input = Buffer.concat(messages.flatMap(packed))
  const argv = [...before, 'python3', attacker('raw'), String(seconds)]
  const { stdoutBytes } = expectSuccess(
    await as(user).run(argv, { input, timeoutMs: (seconds + 30) * 1000 }),
  )
  return unpack(stdoutBytes)
}

function packed(message: Message): Buffer[] {
  const isDripping = typeof message === 'object' && 'drip' in message
  const { start, drip } = isDripping ? message : { start: message, drip: 0 }
  const bytes = Buffer.from(start as string)
  return [Buffer.from(`${bytes.length} ${drip}\n`), bytes]
}

function unpack(bytes: Buffer): Answer[] {
  const answers: Answer[] = []
  for (let at = 0; at < bytes.length;) {
    const end = bytes.indexOf('\n', at)
    const [length, state, ms] = bytes.subarray(at, end).toString().split(' ')
    at = end + 1 + Number(length)
    answers.push({
      text: bytes.subarray(end + 1, at).toString(),
      isClosed: state === 'closed',
      afterMs: Number(ms),
    })
  }
  return answers
}
