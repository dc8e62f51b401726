// One run as seen from its client: request out, frames in, until the close frame or the end of the connection.
// INVARIANTS: ends once; the ending is given only when every byte before it is written; the connection's end is what
// tells the daemon that we are gone.
import { FRAME, frame, frameHeader, MAX_REQUEST_BYTES } from '../wire/frames.js'
import type { DryRun } from '../wire/policy-api.js'
import type { RunEvent, RunRequest } from '../wire/run-api.js'
import { openLink, type DaemonLink } from './daemon-link.js'
import type { PullProgress } from './pull-progress.js'
import type { Input, InputSink } from './run-input.js'
import { createOutput, type Output, type OutputFd } from './run-output.js'
import { createReplyReader, failed, type Ending, type ReplyReader } from './run-reply.js'
import { messageLine } from './say.js'
import type { CaughtSignals, ForwardedSignal } from './signals.js'
import type { Terminal } from './terminal.js'

export interface SessionOptions {
  readonly socketPath: string
  readonly request: RunRequest
  readonly signals: CaughtSignals
  /** With --interactive: begins to read our stdin. */
  readonly startInput: ((sink: InputSink) => Input) | undefined
  /** With --tty. */
  readonly terminal: Terminal | undefined
}

/** Throws HW_DAEMON_DOWN where nobody listens; all other ends are endings. */
export async function holdSession(options: SessionOptions): Promise<Ending> {
  const session = new RunSession(options)
  await session.open()
  return session.ending
}

// A daemon that accepts and then says nothing is as good as down.
const ANSWER_MS = 60_000

const CLOSE_MS = 200

class RunSession {
  readonly ending: Promise<Ending>
  readonly #options: SessionOptions
  readonly #output: Output
  readonly #reply: ReplyReader
  #finish: (ending: Ending) => void = () => undefined
  #answerTimer: NodeJS.Timeout | undefined
  #link: DaemonLink | undefined
  #input: Input | undefined
  #progress: Promise<PullProgress> | undefined
  #runId: string | undefined
  #report: DryRun | undefined
  #hasOutput = false
  #outputFailure: Ending | undefined
  #ended = false

  constructor(options: SessionOptions) {
    this.#options = options
    this.ending = new Promise((resolve) => (this.#finish = resolve))
    this.#output = createOutput((error) => {
      this.#outputFailure = endingOfOutput(error)
      this.#end(this.#outputFailure)
    })
    this.#reply = createReplyReader({
      onUpgrade: () => this.#onUpgrade(),
      onOutput: (fd, piece) => this.#onOutput(fd, piece),
      onEvent: (event) => this.#onEvent(event),
      onEnding: (ending) => this.#end(ending),
    })
  }

  async open(): Promise<void> {
    const { request, signals, socketPath } = this.#options
    const link = await openLink(socketPath, {
      onChunk: (chunk, release) => this.#onChunk(chunk, release),
      onDrain: () => this.#input?.resume(),
      onEnd: () => {
        if (!this.#ended) this.#reply.end()
      },
    })
    this.#link = link
    this.#timing('connected')
    link.write(UPGRADE_REQUEST, ...requestFrame(request))
    this.#answerTimer = setTimeout(() => {
      this.#end(failed('HW_DAEMON_DOWN', `hepwrapd does not answer on this node: ${socketPath}`))
    }, ANSWER_MS)
    signals.deliverTo((signal) => this.#forward(link, signal))
  }

  #onChunk(chunk: Buffer, release: () => void): void {
    if (!this.#ended) this.#readChunk(chunk)
    this.#output.flush(release)
  }

  #readChunk(chunk: Buffer): void {
    try {
      this.#reply.read(chunk)
    } catch (error) {
      this.#end(failed('HW_REQUEST_INVALID', `hepwrapd sent what is no frame: ${String(error)}`))
    }
  }

  #onUpgrade(): void {
    clearTimeout(this.#answerTimer)
    this.#timing('accepted')
    const { startInput, terminal } = this.#options
    const link = this.#link
    if (link === undefined) return
    terminal?.makeRaw()
    this.#input = startInput?.({
      send: (piece) => !this.#ended && link.write(frameHeader(FRAME.stdin, piece.length), piece),
      interrupt: (signal) => this.#forward(link, signal),
      mayInterrupt: () => terminal !== undefined && !this.#hasOutput,
    })
  }

  #onOutput(fd: OutputFd, piece: Buffer): void {
    if (this.#ended) return
    if (!this.#hasOutput) this.#endProgress()
    this.#hasOutput = true
    this.#output.add(fd, piece)
  }

  #onEvent(event: RunEvent): void {
    if (this.#ended) return
    if (event.kind === 'opened') this.#runId = event.run_id
    else if (event.kind === 'dry-run') this.#report = event.report
    else if (event.kind === 'step') this.#verbose(`${event.name} ${event.ms.toFixed(0)} ms`)
    else {
      this.#progress ??= import('./pull-progress.js').then((module) => module.openPullProgress())
      void this.#progress.then((progress) => progress.show(event))
    }
  }

  #endProgress(): void {
    void this.#progress?.then((progress) => progress.close())
  }

  /** In its place among the stdin frames, or past them where they clog the connection. */
  #forward(link: DaemonLink, signal: ForwardedSignal): void {
    const { terminal, socketPath } = this.#options
    const runId = this.#runId
    if (this.#ended) return
    if (signal === 'SIGWINCH' && terminal !== undefined) {
      link.write(frame(FRAME.resize, terminal.size()))
    } else if (link.isClogged() && runId !== undefined) {
      void import('./signal-aside.js').then((module) =>
        module.sendSignalAside(socketPath, runId, signal),
      )
    } else link.write(frame(FRAME.signal, { signal }))
  }

  #end(ending: Ending): void {
    if (this.#ended) return
    this.#ended = true
    clearTimeout(this.#answerTimer)
    this.#options.terminal?.restore() // while stdin is still open
    this.#input?.stop()
    this.#endProgress()
    this.#output.flush()
    // Our exit closes the connection faster than we could; only a slow reader keeps us from it.
    setTimeout(() => this.#link?.close(), CLOSE_MS)
    // What the container ended with is not the whole truth where its output was lost.
    void this.#output
      .drained()
      .then(() => this.#finish(this.#outputFailure ?? this.#withReport(ending)))
  }

  #withReport(ending: Ending): Ending {
    return this.#report === undefined ? ending : { ...ending, report: this.#report }
  }

  /** Since our own start. */
  #timing(what: string): void {
    this.#verbose(`${what} ${(process.uptime() * 1000).toFixed(0)} ms`)
  }

  #verbose(text: string): void {
    if (!this.#options.request.verbose) return
    this.#output.add(2, messageLine(text))
    this.#output.flush()
  }
}

const UPGRADE_REQUEST = Buffer.from(
  'POST /v1/runs HTTP/1.1\r\nHost: hepwrap\r\nConnection: Upgrade\r\nUpgrade: hepwrap\r\n\r\n',
)

/** Of a request larger than the daemon reads only the header is sent: enough to refuse and to record. */
function requestFrame(request: RunRequest): readonly Buffer[] {
  const body = Buffer.from(JSON.stringify(request))
  const header = frameHeader(FRAME.request, body.length)
  return body.length > MAX_REQUEST_BYTES ? [header] : [header, body]
}

const EXIT_SIGPIPE = 128 + 13

/** A reader that has gone ends us as SIGPIPE would; anything else is a fault worth a line. */
const endingOfOutput = ({ code, message }: NodeJS.ErrnoException): Ending =>
  code === 'EPIPE'
    ? { exit: EXIT_SIGPIPE }
    : failed('HW_OUTPUT_FAILED', `the container's output cannot be written: ${code ?? message}`)
