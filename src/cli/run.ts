// `hepwrap run`: an image, here, now, as me. Start-up time is paid by every task of a wide srun: load little.
import { parseRunLine } from './run-options.js'
import { buildRequest } from './run-request.js'
import { holdSession, type SessionOptions } from './run-session.js'
import { sayLines, say } from './say.js'
import { catchSignals } from './signals.js'
import { findSocket } from './socket-path.js'

export async function run(args: readonly string[], config: string | undefined): Promise<number> {
  const line = parseRunLine(args, process.env)
  if (line.help) return (await import('./help.js')).printHelp('run')
  const socketPath = await findSocket(line.config ?? config)
  const stdio = await openStdio(line.request)
  const signals = catchSignals()
  try {
    const request = buildRequest(line, process.env, stdio.terminal?.size())
    const { exit, text, code, report } = await holdSession({
      socketPath,
      request,
      signals,
      ...stdio,
    })
    if (report !== undefined) sayLines((await import('./dry-run-report.js')).describeDryRun(report))
    if (text !== undefined) say(text, code)
    return exit
  } finally {
    stdio.terminal?.restore()
  }
}

type Stdio = Pick<SessionOptions, 'startInput' | 'terminal'>

/** Without -i and -t stdin is not touched and nothing of this is loaded. */
async function openStdio(wanted: { interactive: boolean; tty: boolean }): Promise<Stdio> {
  const { openTerminal, openTerminalInput } = wanted.tty
    ? await import('./terminal.js')
    : { openTerminal: undefined, openTerminalInput: undefined }
  const input = wanted.interactive ? openTerminalInput?.() : undefined
  const { startInput } = wanted.interactive
    ? await import('./run-input.js')
    : { startInput: undefined }
  return {
    startInput: startInput && ((sink) => startInput(sink, input)),
    terminal: await openTerminal?.(input),
  }
}
