// What the daemon sends, read as it comes: its HTTP answer, then frames of output, events and the close.
// Keeps nothing of the output; a frame of ours is held until it is whole.
import { EXIT_REFUSED, type ReasonCode } from '../base/errors.js'
import { createFrameReader, FRAME, MAX_FRAME_BYTES } from '../wire/frames.js'
import type { DryRun } from '../wire/policy-api.js'
import type { RunClose, RunEvent } from '../wire/run-api.js'
import type { OutputFd } from './run-output.js'
import { parseUpgradeReply } from './upgrade-reply.js'

/** How `hepwrap run` ends: its exit status, and a line to say where the status is not the command's own. */
export interface Ending {
  readonly exit: number
  readonly text?: string
  readonly code?: string
  /** Of --dry-run. */
  readonly report?: DryRun
}

export const failed = (code: ReasonCode, text: string): Ending => ({
  exit: EXIT_REFUSED,
  text,
  code,
})

export interface ReplyEvents {
  onUpgrade(): void
  /** A piece of the chunk that is being read: not a copy. */
  onOutput(fd: OutputFd, piece: Buffer): void
  onEvent(event: RunEvent): void
  onEnding(ending: Ending): void
}

export interface ReplyReader {
  read(chunk: Buffer): void
  /** The connection is over and no ending has come. */
  end(): void
}

export function createReplyReader(events: ReplyEvents): ReplyReader {
  const readFrames = createFrameReader(frameSink(events))
  let head: Buffer | undefined = Buffer.alloc(0)

  const readHead = (bytes: Buffer, ended: boolean): void => {
    head = bytes
    const reply = parseUpgradeReply(bytes, ended)
    switch (reply.kind) {
      case 'incomplete':
        return
      case 'upgraded':
        head = undefined
        events.onUpgrade()
        readFrames(reply.rest)
        return
      case 'refused':
        events.onEnding(endingOfRefusal(reply.status, reply.error))
        return
      case 'alien':
        events.onEnding(endingOfAlien(bytes))
    }
  }

  return {
    read: (chunk) => {
      if (head === undefined) readFrames(chunk)
      else readHead(Buffer.concat([head, chunk]), false)
    },
    end: () => {
      if (head === undefined) events.onEnding(daemonLost)
      else readHead(head, true)
    },
  }
}

const daemonLost = failed(
  'HW_DAEMON_LOST',
  'hepwrapd went away during the run; the container has been ended',
)

const endingOfRefusal = (status: number, error: Partial<RunClose> | undefined): Ending => ({
  exit: EXIT_REFUSED,
  text: error?.message ?? `hepwrapd answered with HTTP status ${status}`,
  code: error?.code ?? 'HW_INTERNAL',
})

const endingOfAlien = (bytes: Buffer): Ending =>
  bytes.length === 0 ? daemonLost : failed('HW_DAEMON_DOWN', 'what answers is not hepwrapd')

function frameSink(events: ReplyEvents) {
  const held: Buffer[] = []
  const onFrame = (type: number, payload: string) => {
    if (type === FRAME.event) events.onEvent(JSON.parse(payload) as RunEvent)
    if (type === FRAME.close) events.onEnding(endingOfClose(payload))
  }
  return {
    onHeader: (type: number, length: number) => {
      if (type > FRAME.stderr && length > MAX_FRAME_BYTES) {
        events.onEnding(failed('HW_REQUEST_INVALID', `hepwrapd sent a frame of ${length} bytes`))
      }
    },
    onPiece: (type: number, piece: Buffer, last: boolean) => {
      if (type === FRAME.stdout) events.onOutput(1, piece)
      else if (type === FRAME.stderr) events.onOutput(2, piece)
      else {
        held.push(Buffer.from(piece)) // a copy: the chunk's memory is used again
        if (last) onFrame(type, Buffer.concat(held.splice(0)).toString('utf8'))
      }
    },
  }
}

function endingOfClose(payload: string): Ending {
  const { exit, message, code } = JSON.parse(payload) as Partial<RunClose>
  if (exit === undefined || !Number.isInteger(exit) || exit < 0 || exit > 255) {
    return failed('HW_REQUEST_INVALID', 'hepwrapd closed the run without an exit status')
  }
  return {
    exit,
    ...(message !== undefined && { text: message }),
    ...(code !== undefined && { code }),
  }
}
