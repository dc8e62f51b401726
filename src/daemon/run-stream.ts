// `POST /v1/runs`, upgraded: the socket of one run. Frames in, frames out; the run itself is run/'s.
// A client may send at its own pace, or nothing, or for ever: each wait has an end, each buffer a size.
import type { Socket } from 'node:net'
import { asHepwrapError, REASONS } from '../base/errors.js'
import { newRunId } from '../base/ids.js'
import type { Caller } from '../identity/caller.js'
import { refuseUnread } from '../run/admit.js'
import type { RunClient, RunDeps } from '../run/run-deps.js'
import { run } from '../run/run.js'
import { FRAME, frame } from '../wire/frames.js'
import type { RunRequest } from '../wire/run-api.js'
import { createInbox, type Inbox } from './inbox.js'
import type { UnreadShare } from './unread.js'

/** After the last frame has left us the client has this long to go. */
const LINGER_MS = 5000

export interface RunConnection {
  readonly socket: Socket
  /** What came with the headers. */
  readonly head: Buffer
  readonly caller: Caller
  readonly unread: UnreadShare
}

export async function serveRun(
  { socket, head, caller, unread }: RunConnection,
  deps: RunDeps,
): Promise<void> {
  socket.on('error', () => undefined) // 'close' follows
  socket.setNoDelay(true)
  const inbox = createInbox(socket, deps.config.limits.request_timeout_s * 1000, unread)
  socket.write(
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: hepwrap\r\n\r\n',
  )
  socket.on('data', inbox.feed)
  if (head.length > 0) inbox.feed(head)
  try {
    const request = await inbox.request
    const close = await run(createRunClient(socket, caller, request, inbox), deps)
    socket.write(frame(FRAME.close, close))
  } catch (thrown) {
    const error = asHepwrapError(thrown)
    const runId = newRunId()
    if (!socket.destroyed) await refuseUnread(runId, caller, error, deps)
    const { code, message } = error
    socket.write(frame(FRAME.close, { run_id: runId, exit: REASONS[code].exit, code, message }))
  }
  farewell(socket, inbox, deps)
}

/**
 * Reads on (a client in the middle of a long write must reach our last frame) but keeps nothing. A reader may take its
 * time for the last bytes, which wait here: a pager that stands for an hour loses neither them nor the exit status.
 */
function farewell(socket: Socket, inbox: Inbox, { isStopping }: RunDeps): void {
  inbox.ignore()
  socket.resume()
  socket.end()
  const timer = setInterval(() => {
    if (socket.writableLength === 0 || isStopping()) socket.destroy()
  }, LINGER_MS)
  socket.once('close', () => clearInterval(timer))
}

function createRunClient(
  socket: Socket,
  caller: Caller,
  request: RunRequest,
  inbox: Inbox,
): RunClient {
  const gone = new AbortController()
  const leave = () => gone.abort()
  if (socket.destroyed) leave()
  else {
    socket.once('close', leave)
    socket.once('end', leave) // a client never half-closes: it is dead, or it has left
  }
  return {
    caller,
    request,
    output: socket,
    gone: gone.signal,
    event: (event) => {
      if (!socket.destroyed) socket.write(frame(FRAME.event, event))
    },
    stdinTo: (engine) => inbox.stdinTo(engine),
    onSignal: (listener) => (inbox.onSignal = listener),
    onResize: (listener) => (inbox.onResize = listener),
  }
}
