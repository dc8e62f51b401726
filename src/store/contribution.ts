// What one record adds to the sums: pure, so that a correction takes away exactly what the record once added.
import { HOUR_MS } from './periods.js'
import { AT, type StoredRow } from './stored-row.js'

/** In the order of USAGE_SUMS. */
export type Sums = number[]

export interface Contribution {
  /** The hour in which it ended, in hours since the epoch. */
  readonly hour: number
  readonly sums: Sums
}

const FAILED: ReadonlySet<unknown> = new Set(['FAILED', 'TIMEOUT', 'OUT_OF_MEMORY', 'NODE_FAIL'])

/** A record that runs contributes nothing yet. */
export function contributionOf(row: StoredRow): Contribution | undefined {
  const closedMs = row[AT.closed_ms]
  if (typeof closedMs !== 'number') return undefined
  const state = row[AT.state]
  const elapsed = elapsedMs(row)
  const cpu = clipped(measure(row, AT.cpu_user_usec) + measure(row, AT.cpu_system_usec))
  const cpus = row[AT.cpus]
  const counts = elapsed !== undefined && typeof cpus === 'number'
  return {
    hour: Math.floor(closedMs / HOUR_MS),
    sums: [
      1,
      FAILED.has(state) ? 1 : 0,
      state === 'REFUSED' ? 1 : 0,
      elapsed ?? 0,
      cpu,
      counts ? clipped(elapsed * 1000 * cpus) : 0,
      counts ? cpu : 0,
      clipped((measure(row, AT.memory_peak_bytes) / 2 ** 20) * ((elapsed ?? 0) / 1000)),
      measure(row, AT.io_read_bytes),
      measure(row, AT.io_write_bytes),
    ],
  }
}

function elapsedMs(row: StoredRow): number | undefined {
  const [started, ended] = [row[AT.started_at], row[AT.ended_at]]
  return typeof started === 'number' && typeof ended === 'number'
    ? clipped(ended - started)
    : undefined
}

const measure = (row: StoredRow, at: number): number => {
  const cell = row[at]
  return typeof cell === 'number' ? clipped(cell) : 0
}

/**
 * Whole, not negative, and at most 2^50 (34 CPU years; a petabyte): a node that lies must not make the sums of others
 * inexact, which they are beyond 2^53 within one batch.
 */
const clipped = (value: number): number => Math.max(0, Math.min(2 ** 50, Math.round(value)))
