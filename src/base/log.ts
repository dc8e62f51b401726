// The daemon's log: one JSON line an event on stderr. Child loggers carry our keys only, never a user's.
import { destination, pino, type Logger } from 'pino'

export type { Logger }

/** The lines go out synchronously: a root daemon that dies must not take its last words with it. */
export function createLogger(level: string, name: string): Logger {
  return pino(
    { level, name, timestamp: pino.stdTimeFunctions.isoTime },
    destination({ fd: 2, sync: true }),
  )
}
