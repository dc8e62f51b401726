// A client as a child process: its streams, its signals, its exit status.
import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process'

export interface ClientEnd {
  readonly status: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: Buffer
  readonly stderr: string
}

export interface RunningClient {
  readonly child: ChildProcess
  readonly end: Promise<ClientEnd>
}

export interface ClientOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  readonly stdio?: StdioOptions
  /** Until called for, stdout is not read. */
  readonly holdStdout?: boolean
}

export function startClient(
  path: string,
  socketPath: string,
  args: readonly string[],
  options: ClientOptions = {},
): RunningClient {
  const child = spawn(process.execPath, [path, ...args], {
    stdio: options.stdio ?? ['ignore', 'pipe', 'pipe'],
    cwd: options.cwd,
    env: { PATH: process.env['PATH'], HOME: '/', HEPWRAP_SOCKET: socketPath, ...options.env },
  })
  const stdout: Buffer[] = []
  const stderr: Buffer[] = []
  if (options.holdStdout !== true) child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk))
  child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk))
  const end = new Promise<ClientEnd>((resolve) => {
    child.once('close', (status, signal) =>
      resolve({
        status,
        signal,
        stdout: Buffer.concat(stdout),
        stderr: Buffer.concat(stderr).toString('utf8'),
      }),
    )
  })
  return { child, end }
}
