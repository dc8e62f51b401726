// The progress of a pull: one line on stderr that is written over, and only where stderr is a terminal.
import { writeSync } from 'node:fs'
import { isatty } from 'node:tty'
import type { RunEvent } from '../wire/run-api.js'
import { oneLine } from './say.js'
import { formatBytes } from './table.js'

export interface PullProgress {
  show(event: Extract<RunEvent, { kind: 'pull' }>): void
  /** Removes the line; nothing is shown from now on. */
  close(): void
}

export function openPullProgress(): PullProgress {
  let closed = !isatty(2)
  let shown = false
  return {
    show: (event) => {
      if (closed) return
      shown = true
      writeSync(2, `\r\u001b[Khepwrap: ${describe(event)}`)
    },
    close: () => {
      if (shown && !closed) writeSync(2, '\r\u001b[K')
      closed = true
    },
  }
}

function describe({ image, status, current, total }: Parameters<PullProgress['show']>[0]): string {
  const amount =
    current === undefined || total === undefined
      ? ''
      : ` ${formatBytes(current)} of ${formatBytes(total)}`
  return oneLine(`pulling ${image}: ${status}${amount}`).slice(0, 79)
}
