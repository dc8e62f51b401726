// The caller's terminal for `run --tty`: its size, and raw mode while the container has it.
import { closeSync, openSync } from 'node:fs'
import { isatty, ReadStream, WriteStream } from 'node:tty'
import { HepwrapError } from '../base/errors.js'
import type { RunRequest } from '../wire/run-api.js'

export type TerminalSize = NonNullable<RunRequest['terminal']>

export interface Terminal {
  size(): TerminalSize
  makeRaw(): void
  /** Idempotent. Node itself restores the mode on exits that do not come by here. */
  restore(): void
}

/** `input`: our stdin where the container reads it; that must be a terminal then. */
export async function openTerminal(input: ReadStream | undefined): Promise<Terminal> {
  const fd = [0, 1, 2].find((candidate) => isatty(candidate))
  const leaveOutputAlone = input && (await loadOutputMode())
  return {
    size: () => (fd === undefined ? { rows: 0, columns: 0 } : readSize(fd)),
    makeRaw: () => {
      input?.setRawMode(true)
      leaveOutputAlone?.(0)
    },
    restore: () => void input?.setRawMode(false),
  }
}

/** Foreign calls take 30 ms to load: only for a session that somebody sits at. A client without them has Node's raw mode. */
const loadOutputMode = () =>
  import('../kernel/terminal.js').then(
    ({ leaveOutputAlone }) => leaveOutputAlone,
    () => undefined,
  )

export function openTerminalInput(): ReadStream {
  if (isatty(0)) return new ReadStream(0)
  throw new HepwrapError('HW_USAGE', 'with -it the standard input must be a terminal; leave out -t')
}

/** Asks a descriptor of its own: Node makes the one it asks non-blocking. */
function readSize(fd: number): TerminalSize {
  try {
    const own = openSync(`/proc/self/fd/${fd}`, 'r+')
    try {
      const stream = new WriteStream(own)
      const { rows, columns } = stream
      stream.destroy()
      return { rows, columns }
    } finally {
      closeSync(own)
    }
  } catch {
    return { rows: 0, columns: 0 }
  }
}
