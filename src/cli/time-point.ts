// Points in time as sacct reads them → RFC 3339 UTC. Without a zone they are in the caller's own.
import { rfc3339 } from '../base/clock.js'
import { invalid } from './option-values.js'

const UNIT_SECONDS: Readonly<Record<string, number>> = {
  second: 1,
  minute: 60,
  hour: 3600,
  day: 86_400,
  week: 604_800,
}

/** "now-7days", "today", "2026-01-31", "2026-01-31T12:00[:05]", RFC 3339. */
export function parseTimePoint(option: string, text: string, nowMs: number): string {
  const epochMs = relativeMs(text, nowMs) ?? absoluteMs(text)
  if (epochMs === undefined || Number.isNaN(epochMs) || epochMs < 0 || epochMs > MAX_MS) {
    throw invalid(option, text, 'not a time like 2026-01-31, 2026-01-31T12:00, now or now-7days')
  }
  return rfc3339(epochMs)
}

// The last instant that RFC 3339 can write.
const MAX_MS = Date.UTC(9999, 11, 31, 23, 59, 59, 999)

function relativeMs(text: string, nowMs: number): number | undefined {
  if (text === 'today' || text === 'midnight') return new Date(nowMs).setHours(0, 0, 0, 0)
  const match = /^now(?:([+-])(\d{1,9})(second|minute|hour|day|week)?s?)?$/.exec(text)
  if (match === null) return undefined
  const [, sign, count = '0', unit = 'second'] = match
  const seconds = Number(count) * (UNIT_SECONDS[unit] ?? 1)
  return nowMs + (sign === '-' ? -1 : 1) * seconds * 1000
}

const FORM =
  /^(\d{4}-\d\d-\d\d)(?:[T ]((?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,9})?)?)(Z|[+-]\d\d:\d\d)?)?$/i

function absoluteMs(text: string): number | undefined {
  const [, date, clock = '00:00', zone = ''] = FORM.exec(text) ?? []
  // Date.parse takes the 31st of February for the 3rd of March.
  if (date === undefined || !isDay(date)) return undefined
  return Date.parse(`${date}T${clock}${zone.toUpperCase()}`)
}

const isDay = (date: string) => {
  const epochMs = Date.parse(`${date}T00:00Z`)
  return !Number.isNaN(epochMs) && rfc3339(epochMs).startsWith(date)
}
