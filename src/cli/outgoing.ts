// The directory from which ssmsend takes messages: a queue of the dirq kind, in which directories have 8 and messages 14
// hexadecimal digits. A message has its name only once it is whole.
import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { HepwrapError, quote } from '../base/errors.js'

const SECONDS_PER_DIRECTORY = 60

export interface Outgoing {
  /** Durable enough for a sender: whole, or not there. */
  put(message: string): void
  readonly count: number
}

export function openOutgoing(path: string, nowMs: number): Outgoing {
  const startSeconds = Math.floor(nowMs / 1000)
  const directory = join(path, hex(startSeconds - (startSeconds % SECONDS_PER_DIRECTORY), 8))
  let count = 0
  return {
    get count() {
      return count
    },
    // Named like times, in µs and a digit more: those of one export one after another.
    put: (message) => {
      const usec = nowMs * 1000 + count++
      const name = `${hex(Math.floor(usec / 1e6), 8)}${hex(usec % 1e6, 5)}0`
      try {
        if (count === 1) makeDirectory(directory)
        writeFileSync(join(directory, `${name}.tmp`), message, { flag: 'wx' })
        renameSync(join(directory, `${name}.tmp`), join(directory, name))
      } catch (cause) {
        const why = cause instanceof Error ? cause.message : String(cause)
        throw new HepwrapError('HW_USAGE', `--outgoing ${quote(path)}: ${why}`, { cause })
      }
    },
  }
}

/** The queue itself is the sender's to make. */
function makeDirectory(path: string): void {
  try {
    mkdirSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}

const hex = (value: number, digits: number) => value.toString(16).padStart(digits, '0')
