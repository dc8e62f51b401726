// Two ends of a real unix socket in one process.
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'

export interface SocketPair {
  /** The daemon's end, as node:http hands it over: half-open allowed. */
  readonly ours: Socket
  readonly theirs: Socket
}

export async function socketPair(): Promise<SocketPair> {
  const directory = mkdtempSync(join(tmpdir(), 'hepwrap-socket-'))
  const path = join(directory, 'socket')
  const server = createServer({ allowHalfOpen: true })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve))
  const theirs = connect(path)
  const ours = await accepted
  for (const socket of [ours, theirs]) socket.on('error', () => undefined)
  onTestFinished(() => {
    ours.destroy()
    theirs.destroy()
    server.close()
    rmSync(directory, { recursive: true })
  })
  return { ours, theirs }
}

/** Waits until it is true; the test's own time-out ends the wait. */
export async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise((resolve) => setImmediate(resolve))
}

/** Long enough for whatever is on its way between two ends of a local socket. */
export const moment = () => new Promise((resolve) => setTimeout(resolve, 20))
