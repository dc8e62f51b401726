// The container's output on its way to our stdout and stderr: whole, in order, and as slowly as the reader likes.
// INVARIANTS: one write at a time, so that 2>&1 keeps the order; the event loop never blocks in a write, so that signals
// go on being forwarded; a piece's memory is the caller's again only when its batch is released.
import { writev } from 'node:fs'

export type OutputFd = 1 | 2

export interface Output {
  /** Adds a piece to the present batch. */
  add(fd: OutputFd, piece: Buffer): void
  /** Ends the batch; `release` is called when all of it is written or given up. */
  flush(release?: () => void): void
  /** Resolves once all that was flushed is written or given up. */
  drained(): Promise<void>
}

interface Run {
  readonly fd: OutputFd
  readonly pieces: Buffer[]
}

/** `onFailure` is called once; from then on everything is dropped. */
export function createOutput(onFailure: (error: NodeJS.ErrnoException) => void): Output {
  let batch: Run[] = []
  let tail = Promise.resolve()
  let failed = false

  const writeBatch = async (runs: Run[], release?: () => void): Promise<void> => {
    try {
      for (const run of runs) if (!failed) await writeRun(run)
    } catch (error) {
      failed = true
      onFailure(error as NodeJS.ErrnoException)
    }
    release?.()
  }

  return {
    add: (fd, piece) => {
      const last = batch.at(-1)
      if (last?.fd === fd) last.pieces.push(piece)
      else batch.push({ fd, pieces: [piece] })
    },
    flush: (release) => {
      const runs = batch
      batch = []
      tail = tail.then(() => writeBatch(runs, release))
    },
    drained: () => tail,
  }
}

// IOV_MAX is 1024 on Linux.
const MAX_PIECES = 1024

async function writeRun({ fd, pieces }: Run): Promise<void> {
  let rest = pieces
  while (rest.length > 0) {
    rest = dropWritten(rest, await writeSome(fd, rest.slice(0, MAX_PIECES)))
  }
}

// Somebody who shares the pipe may have made it non-blocking; Node cannot poll a descriptor, so we look again.
const RETRY_MS = 1

const writeSome = (fd: OutputFd, pieces: Buffer[]): Promise<number> =>
  new Promise((resolve, reject) => {
    writev(fd, pieces, (error, written) => {
      if (error === null) resolve(written)
      else if (error.code === 'EAGAIN') setTimeout(resolve, RETRY_MS, 0)
      else reject(error)
    })
  })

function dropWritten(pieces: Buffer[], written: number): Buffer[] {
  let bytes = written
  let whole = 0
  for (const piece of pieces) {
    if (bytes < piece.length) break
    bytes -= piece.length
    whole++
  }
  const rest = pieces.slice(whole)
  if (bytes > 0 && rest[0] !== undefined) rest[0] = rest[0].subarray(bytes)
  return rest
}
