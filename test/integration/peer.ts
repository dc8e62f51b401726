// A program of some user's that connects to a unix socket of the test's and does what it is told: the hostile client.
import { spawn } from 'node:child_process'
import { chmodSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { once } from 'node:events'
import { identifyCaller, releaseCaller, type Caller } from '../../src/identity/caller.js'

export interface Peer {
  readonly socket: Socket
  /** The daemon's end of the connection. */
  readonly fd: number
  readonly pid: number
  /** Runs an expression in the program, with fs, socket and O_PATH at hand, and returns its value. */
  evaluate(expression: string): Promise<unknown>
  identify(): Caller
  /** SIGKILL, and waits until it has been reaped. */
  kill(): Promise<void>
}

const PROGRAM = `
const fs = require('node:fs'), net = require('node:net'), O_PATH = 0o10000000
const socket = net.connect(process.argv[1], () => console.log('null'))
require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
  let value
  try { value = eval(line) } catch (error) { value = { error: error.code ?? String(error) } }
  console.log(JSON.stringify(value ?? null))
})`

export interface PeerOptions {
  readonly uid?: number
  readonly gid?: number
  /** Words before the program, such as unshare and its options. */
  readonly wrapper?: readonly string[]
}

export async function startPeer(socketPath: string, options: PeerOptions = {}): Promise<Peer> {
  const server = createServer()
  server.listen(socketPath)
  await once(server, 'listening')
  chmodSync(socketPath, 0o777)
  const { uid = process.getuid?.() ?? 0, gid = process.getgid?.() ?? 0, wrapper = [] } = options
  const [file, ...args] = [...wrapper, process.execPath, '-e', PROGRAM, '--', socketPath]
  const child = spawn(file, args, { uid, gid, stdio: ['pipe', 'pipe', 'inherit'], cwd: '/' })
  const answers: ((value: unknown) => void)[] = []
  const next = () => new Promise<unknown>((resolve) => answers.push(resolve))
  const connected = next()
  let text = ''
  child.stdout.on('data', (chunk) => {
    text += String(chunk)
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
      const line = text.slice(0, end)
      text = text.slice(end + 1)
      answers.shift()?.(JSON.parse(line))
    }
  })
  const [socket] = (await once(server, 'connection')) as [Socket]
  socket.on('error', () => undefined)
  await connected
  server.close()
  const callers: Caller[] = []
  const fd = (socket as unknown as { _handle: { fd: number } })._handle.fd
  return {
    socket,
    fd,
    pid: child.pid ?? 0,
    evaluate: (expression) => {
      const answer = next()
      child.stdin.write(`${expression}\n`)
      return answer
    },
    identify: () => {
      const caller = identifyCaller(fd)
      callers.push(caller)
      return caller
    },
    kill: async () => {
      const gone =
        child.exitCode !== null || child.signalCode !== null ? undefined : once(child, 'exit')
      child.kill('SIGKILL')
      await gone
      socket.destroy()
      callers.forEach((caller) => {
        releaseCaller(caller)
      })
    },
  }
}
