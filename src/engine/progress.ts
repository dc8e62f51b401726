// The engine's progress of a pull or an import: one JSON object a line. What fails after the first line is told in the
// stream, under status 200; docker-modem's own reader takes that for success and throws at a line that is no JSON.
import { quote } from '../base/errors.js'

export interface ProgressEvent {
  readonly status?: string
  readonly progressDetail?: { readonly current?: number; readonly total?: number }
  readonly error?: string
  readonly errorDetail?: { readonly message?: string }
}

/** A line that is longer is none of an engine's. */
const MAX_LINE_CHARACTERS = 1024 * 1024

/** Resolves when the engine has ended the stream in success; rejects with what it said went wrong, or where it broke off. */
export async function followProgress(
  stream: NodeJS.ReadableStream,
  onEvent: (event: ProgressEvent) => void,
): Promise<void> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const chunk of stream) {
    const lines = (text + decoder.decode(Buffer.from(chunk), { stream: true })).split('\n')
    text = lines.pop() ?? ''
    if (text.length > MAX_LINE_CHARACTERS) throw new Error(`the engine said ${quote(text)}`)
    for (const line of lines) tell(line, onEvent)
  }
  tell(text, onEvent)
}

function tell(line: string, onEvent: (event: ProgressEvent) => void): void {
  if (line.trim() === '') return
  const event = parseEvent(line)
  const error = event.error ?? event.errorDetail?.message
  if (error !== undefined) throw new Error(error)
  onEvent(event)
}

function parseEvent(line: string): ProgressEvent {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch (cause) {
    throw new Error(`the engine said ${quote(line.trim())}`, { cause })
  }
  return typeof value === 'object' && value !== null ? value : {}
}
