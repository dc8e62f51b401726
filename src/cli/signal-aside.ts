// A signal on a connection of its own, for when unread stdin clogs the run's. Signals keep their order among themselves.
import { askDaemon } from './daemon-api.js'
import type { ForwardedSignal } from './signals.js'

const lastSent = new Map<string, Promise<unknown>>()

export function sendSignalAside(socketPath: string, runId: string, signal: ForwardedSignal): void {
  const before = lastSent.get(runId) ?? Promise.resolve()
  const sent = before.then(() =>
    askDaemon(socketPath, 'POST', `/v1/containers/${runId}/kill`, { signal }),
  )
  // A run that has ended meanwhile needs no signal; a daemon that is gone ends the run's own connection, too.
  lastSent.set(
    runId,
    sent.catch(() => undefined),
  )
}
