// Which time is looked at, and in which steps. Days, weeks and months are UTC's, as the aggregator sums them.

export const PRESETS = ['24h', '7d', '30d', '12mo'] as const
export type Preset = (typeof PRESETS)[number]

/** Own dates are days of UTC, both inclusive: "2026-11-01". */
export type Range = { readonly preset: Preset } | { readonly from: string; readonly to: string }

export const GRAINS = ['hour', 'day', 'week', 'month'] as const
export type Grain = (typeof GRAINS)[number]
export type Per = Grain | 'auto'

/** [sinceMs, untilMs) */
export interface Span {
  readonly sinceMs: number
  readonly untilMs: number
}

const HOUR_MS = 3_600_000
export const DAY_MS = 24 * HOUR_MS
/** More bars than that are no bars any more. */
const MAX_PERIODS = 750

/** The present day is in it, up to now. */
export function spanOf(range: Range, nowMs: number): Span {
  if ('from' in range) {
    const sinceMs = dayMs(range.from) ?? periodOf(nowMs, 'day')
    const lastMs = dayMs(range.to) ?? sinceMs
    return { sinceMs: Math.min(sinceMs, lastMs), untilMs: Math.max(sinceMs, lastMs) + DAY_MS }
  }
  const today = periodOf(nowMs, 'day')
  switch (range.preset) {
    case '24h': {
      const untilMs = nextPeriod(periodOf(nowMs, 'hour'), 'hour')
      return { sinceMs: untilMs - DAY_MS, untilMs }
    }
    case '7d':
      return { sinceMs: today - 6 * DAY_MS, untilMs: today + DAY_MS }
    case '30d':
      return { sinceMs: today - 29 * DAY_MS, untilMs: today + DAY_MS }
    case '12mo': {
      const now = new Date(nowMs)
      return {
        sinceMs: Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - 11, 1),
        untilMs: today + DAY_MS,
      }
    }
  }
}

/** "2026-11-01" → its begin; undefined: no such day. */
export function dayMs(text: string): number | undefined {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return undefined
  const ms = Date.parse(`${text}T00:00:00Z`)
  return Number.isNaN(ms) || dayText(ms) !== text ? undefined : ms
}

export const dayText = (ms: number): string => new Date(ms).toISOString().slice(0, 10)

/** What was asked for, or what suits the span; coarser where there would be too many. */
export function grainOf({ sinceMs, untilMs }: Span, per: Per): Grain {
  const days = (untilMs - sinceMs) / DAY_MS
  const fitting: Grain = days <= 2 ? 'hour' : days <= 92 ? 'day' : days <= 400 ? 'week' : 'month'
  const wanted = per === 'auto' ? fitting : per
  const perDay: Record<Grain, number> = { hour: 24, day: 1, week: 1 / 7, month: 1 / 30 }
  return days * perDay[wanted] > MAX_PERIODS ? fitting : wanted
}

/** The begins of all periods that the span touches. */
export function periodsOf({ sinceMs, untilMs }: Span, grain: Grain): readonly number[] {
  const periods: number[] = []
  for (let ms = periodOf(sinceMs, grain); ms < untilMs; ms = nextPeriod(ms, grain)) periods.push(ms)
  return periods
}

/** The begin of the period that has this moment. Weeks begin on Monday. */
export function periodOf(ms: number, grain: Grain): number {
  const date = new Date(ms)
  switch (grain) {
    case 'hour':
      return Math.floor(ms / HOUR_MS) * HOUR_MS
    case 'day':
      return Math.floor(ms / DAY_MS) * DAY_MS
    case 'week':
      return Math.floor(ms / DAY_MS) * DAY_MS - ((date.getUTCDay() + 6) % 7) * DAY_MS
    case 'month':
      return Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), 1)
  }
}

export function nextPeriod(ms: number, grain: Grain): number {
  if (grain === 'hour') return ms + HOUR_MS
  if (grain === 'day') return ms + DAY_MS
  if (grain === 'week') return ms + 7 * DAY_MS
  const date = new Date(ms)
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1)
}

const hourFormat = new Intl.DateTimeFormat('en-GB', {
  weekday: 'short',
  day: 'numeric',
  month: 'short',
  hour: '2-digit',
  minute: '2-digit',
})
const dayFormat = new Intl.DateTimeFormat('en-GB', {
  weekday: 'short',
  day: 'numeric',
  month: 'short',
  year: 'numeric',
  timeZone: 'UTC',
})
const monthFormat = new Intl.DateTimeFormat('en-GB', {
  month: 'long',
  year: 'numeric',
  timeZone: 'UTC',
})
const momentFormat = new Intl.DateTimeFormat('en-GB', {
  day: 'numeric',
  month: 'short',
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
})

/** An hour in the viewer's zone; days, weeks and months as UTC has them: "Wed, 18 Nov 2026". */
export function periodName(ms: number, grain: Grain): string {
  if (grain === 'hour') return hourFormat.format(ms)
  if (grain === 'month') return monthFormat.format(ms)
  return grain === 'week' ? `week of ${dayFormat.format(ms)}` : dayFormat.format(ms)
}

/** In the viewer's zone, to the second. */
export const momentName = (ms: number): string => momentFormat.format(ms)

/** "Wed, 18 Nov 2026 to Fri, 20 Nov 2026", or the hours of less than three days. */
export function spanName({ sinceMs, untilMs }: Span, grain: Grain): string {
  const last = Math.max(sinceMs, untilMs - 1)
  return grain === 'hour'
    ? `${hourFormat.format(sinceMs)} to ${hourFormat.format(untilMs)}`
    : `${dayFormat.format(sinceMs)} to ${dayFormat.format(last)}`
}

/** "Europe/Berlin (UTC+1)" */
export function zoneName(nowMs: number): string {
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions()
  const minutes = -new Date(nowMs).getTimezoneOffset()
  if (minutes === 0) return timeZone === 'UTC' ? 'UTC' : `${timeZone} (UTC+0)`
  const sign = minutes < 0 ? '−' : '+'
  const hours = Math.floor(Math.abs(minutes) / 60)
  const rest = Math.abs(minutes) % 60
  return `${timeZone} (UTC${sign}${hours}${rest === 0 ? '' : `:${String(rest).padStart(2, '0')}`})`
}
