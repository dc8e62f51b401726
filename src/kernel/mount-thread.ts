// A thread of ours that makes mounts of a container `nodev`, from inside of its mount namespace: mount_setattr(2) changes no
// other's. A thread of its own, because setns(2) wants one that shares root and working directory with no other.
import { Worker } from 'node:worker_threads'
import { kernelError } from './libc.js'

export interface MountThread {
  /**
   * Makes every mount of this namespace nodev, but those at the `kept` paths. A path is looked up as root, links at its end
   * not followed. Throws a KernelError: ENOSYS before Linux 5.12.
   */
  setNoDevices(namespaceFd: number, kept: readonly string[]): Promise<void>
}

export interface Task {
  readonly id: number
  readonly namespaceFd: number
  readonly kept: readonly string[]
}

export interface Answer {
  readonly id: number
  /** The call that failed, and why. */
  readonly failed?: { readonly syscall: string; readonly errno: number; readonly subject: string }
}

interface Waiting {
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

const PROGRAM = new URL('./mount-thread-program.js', import.meta.url)

/** It starts now, does one task after another, and keeps no process alive. One that has ended is started anew by the next task. */
export function startMountThread(): MountThread {
  const waiting = new Map<number, Waiting>()
  let last = 0
  let worker: Worker | undefined

  const start = (): Worker => {
    const started = new Worker(PROGRAM)
    started.on('message', ({ id, failed }: Answer) => {
      const task = waiting.get(id)
      waiting.delete(id)
      if (failed === undefined) task?.resolve()
      else task?.reject(kernelError(failed.syscall, failed.errno, failed.subject))
    })
    const end = (error: Error) => {
      if (worker === started) worker = undefined
      for (const { reject } of waiting.values()) reject(error)
      waiting.clear()
    }
    started.on('error', end)
    started.on('exit', () => end(new Error('the thread that sets nodev has ended')))
    started.unref() // after the listeners: the first for its messages refs it again
    return started
  }

  worker = start()
  return {
    setNoDevices: (namespaceFd, kept) =>
      new Promise((resolve, reject) => {
        const task: Task = { id: ++last, namespaceFd, kept }
        waiting.set(task.id, { resolve, reject })
        worker ??= start()
        worker.postMessage(task)
      }),
  }
}
