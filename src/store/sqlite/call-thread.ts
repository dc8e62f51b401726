// A thread with a connection to the SQLite file, and calls to it as promises. One that died is started anew by the next call.
import { Worker } from 'node:worker_threads'
import { HepwrapError } from '../../base/errors.js'
import type { Calls, Role } from './calls.js'
import { OPENED, type Call, type Reply, type ThreadStart } from './thread-messages.js'

export type CallThread = <Name extends keyof Calls>(
  name: Name,
  ...args: Parameters<Calls[Name]>
) => Promise<ReturnType<Calls[Name]>>

interface Waiting {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
}

interface Running {
  readonly worker: Worker
  readonly waiting: Map<number, Waiting>
}

const PROGRAM = new URL('./thread.js', import.meta.url)

/** Resolves when the thread has opened the file. */
export async function startThread(path: string, role: Role): Promise<CallThread> {
  let running: Running | undefined
  let last = OPENED

  const start = async (): Promise<Running> => {
    const start: ThreadStart = { path, role }
    const worker = new Worker(PROGRAM, { workerData: start })
    const started: Running = { worker, waiting: new Map() }
    const opened = new Promise((resolve, reject) => {
      started.waiting.set(OPENED, { resolve, reject })
    })
    worker.on('message', (reply: Reply) => settle(started, reply, path))
    worker.on('error', (cause) => fail(started, cause, path))
    worker.on('exit', () => {
      if (running === started) running = undefined
      fail(started, new Error('its thread has ended'), path)
    })
    running = started
    await opened
    return started
  }

  await start()
  return async (name, ...args) => {
    const { worker, waiting } = running ?? (await start())
    const call: Call = { id: ++last, name, args }
    const answered = new Promise((resolve, reject) => {
      waiting.set(call.id, { resolve, reject })
    })
    worker.postMessage(call)
    return answered as Promise<ReturnType<Calls[typeof name]>>
  }
}

function settle({ waiting }: Running, reply: Reply, path: string): void {
  const waiter = waiting.get(reply.id)
  waiting.delete(reply.id)
  if ('value' in reply) waiter?.resolve(reply.value)
  else {
    const { code, message } = reply.error
    const text = code === 'HW_STORE_UNAVAILABLE' ? `sqlite:${path}: ${message}` : message
    waiter?.reject(new HepwrapError(code ?? 'HW_INTERNAL', text))
  }
}

function fail({ waiting }: Running, cause: Error, path: string): void {
  const text = `sqlite:${path}: ${cause.message}`
  for (const { reject } of waiting.values())
    reject(new HepwrapError('HW_STORE_UNAVAILABLE', text, { cause }))
  waiting.clear()
}
