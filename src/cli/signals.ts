// Signals that the client passes on instead of dying of them. Caught from the start, kept until there is somebody to tell.

const FORWARDED = [
  'SIGTERM',
  'SIGINT',
  'SIGHUP',
  'SIGQUIT',
  'SIGUSR1', // also takes it away from Node's inspector
  'SIGUSR2',
  'SIGCONT',
  'SIGTSTP',
  'SIGWINCH',
] as const satisfies readonly NodeJS.Signals[]

export type ForwardedSignal = (typeof FORWARDED)[number]

export interface CaughtSignals {
  /** Hands over what has come so far and all that comes from now on. */
  deliverTo(receiver: (signal: ForwardedSignal) => void): void
}

export function catchSignals(): CaughtSignals {
  const waiting: ForwardedSignal[] = []
  let receive = (signal: ForwardedSignal): void => void waiting.push(signal)
  for (const signal of FORWARDED) process.on(signal, () => receive(signal))
  return {
    deliverTo: (receiver) => {
      receive = receiver
      waiting.splice(0).forEach(receiver)
    },
  }
}
