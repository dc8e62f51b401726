// Plain HTTP to hepwrapd over its unix socket, for everything but runs.
import { request, type IncomingMessage } from 'node:http'
import { HepwrapError, isReasonCode } from '../base/errors.js'
import { retryFullBacklog } from './full-backlog.js'
import { daemonDown } from './socket-path.js'
import { parseErrorReply } from './upgrade-reply.js'

type Method = 'GET' | 'POST' | 'PUT' | 'DELETE'

/** The reply's JSON; the daemon is trusted to keep to wire/. Throws what it refuses. */
export async function askDaemon<Reply>(
  socketPath: string,
  method: Method,
  path: string,
  body?: object,
): Promise<Reply> {
  const response = await openReply(socketPath, method, path, body)
  const text = await readText(response)
  try {
    return (text === '' ? undefined : JSON.parse(text)) as Reply
  } catch {
    throw new HepwrapError('HW_INTERNAL', `hepwrapd's reply to ${method} ${path} is not JSON`)
  }
}

/** The lines of a reply, as they come; throws where it breaks off. */
export async function* readLines(socketPath: string, path: string): AsyncGenerator<string> {
  const response = await openReply(socketPath, 'GET', path)
  let partial = ''
  try {
    for await (const piece of response.setEncoding('utf8')) {
      const lines = (partial + String(piece)).split('\n')
      partial = lines.pop() ?? ''
      yield* lines
    }
  } catch {
    throw brokenOff()
  }
  if (!response.complete || partial !== '') throw brokenOff()
}

async function openReply(
  socketPath: string,
  method: Method,
  path: string,
  body?: object,
): Promise<IncomingMessage> {
  const response = await send(socketPath, method, path, body)
  if ((response.statusCode ?? 500) < 400) return response
  const error = parseErrorReply(await readText(response))
  if (error === undefined) {
    throw new HepwrapError(
      'HW_INTERNAL',
      `hepwrapd answered with status ${response.statusCode ?? 0}`,
    )
  }
  const { code, message } = error
  if (isReasonCode(code)) throw new HepwrapError(code, message)
  throw new HepwrapError('HW_INTERNAL', `${message} (${code})`) // of a newer daemon
}

async function send(
  socketPath: string,
  method: Method,
  path: string,
  body?: object,
): Promise<IncomingMessage> {
  try {
    return await retryFullBacklog(() => sendOnce(socketPath, method, path, body))
  } catch (error) {
    throw asDaemonDown(socketPath, error as NodeJS.ErrnoException)
  }
}

const sendOnce = (socketPath: string, method: Method, path: string, body?: object) =>
  new Promise<IncomingMessage>((resolve, reject) => {
    const text = body === undefined ? undefined : JSON.stringify(body)
    const headers = text !== undefined && {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(text),
    }
    request({ socketPath, method, path, agent: false, headers: { host: 'hepwrap', ...headers } })
      .once('response', resolve)
      .once('error', reject)
      .end(text)
  })

function asDaemonDown(socketPath: string, { code }: NodeJS.ErrnoException): HepwrapError {
  if (code === 'ENOENT' || code === 'ECONNREFUSED') return daemonDown(socketPath)
  return new HepwrapError('HW_DAEMON_DOWN', `no answer from ${socketPath}: ${String(code)}`)
}

async function readText(response: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = []
  try {
    for await (const piece of response) pieces.push(piece as Buffer)
  } catch {
    throw brokenOff()
  }
  return Buffer.concat(pieces).toString('utf8')
}

const brokenOff = () => new HepwrapError('HW_DAEMON_LOST', 'hepwrapd broke off its reply')
