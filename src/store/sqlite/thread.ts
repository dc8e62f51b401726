// The program of a thread: one connection to the SQLite file, which either writes or reads, and answers calls in order.
import { parentPort, workerData } from 'node:worker_threads'
import { HepwrapError, type ReasonCode } from '../../base/errors.js'
import { isFromOutside, openCalls } from './calls.js'
import { OPENED, type Call, type Reply, type ThreadStart } from './thread-messages.js'

function serve({ path, role }: ThreadStart): void {
  const calls = attempt(OPENED, () => openCalls(path, role))
  if (calls === undefined) return
  reply({ id: OPENED, value: undefined })
  parentPort?.on('message', ({ id, name, args }: Call) => {
    const call = calls[name] as ((...args: readonly unknown[]) => unknown) | undefined
    attempt(id, () => reply({ id, value: call?.(...args) }))
    if (name === 'close') parentPort?.close()
  })
}

function attempt<T>(id: number, action: () => T): T | undefined {
  try {
    return action()
  } catch (thrown) {
    const message = thrown instanceof Error ? thrown.message : String(thrown)
    reply({ id, error: { code: codeOf(thrown), message } })
    return undefined
  }
}

function codeOf(thrown: unknown): ReasonCode | undefined {
  if (thrown instanceof HepwrapError) return thrown.code
  return isFromOutside(thrown) ? 'HW_STORE_UNAVAILABLE' : undefined
}

const reply = (message: Reply) => parentPort?.postMessage(message)

serve(workerData as ThreadStart)
