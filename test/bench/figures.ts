// Medians, percentiles, memory of a process, and the table that the benchmark prints.
import { readFileSync } from 'node:fs'

export interface Row {
  what: string
  hepwrap: string
  docker?: string
  /** hepwrap's figure by docker's */
  ratio?: number
}

export const median = (values: number[]): number => percentile(values, 50)

/** Between the two nearest where it falls between them. */
export function percentile(values: number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const at = ((sorted.length - 1) * percent) / 100
  const [low, high] = [sorted[Math.floor(at)] ?? NaN, sorted[Math.ceil(at)] ?? NaN]
  return low + (high - low) * (at - Math.floor(at))
}

/** Bytes. Pss: what is shared with other processes is divided among them; Rss: all of it. */
export function memoryOf(pid: number, what: 'Pss' | 'Rss' = 'Pss'): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
  return Number(new RegExp(`^${what}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1] ?? NaN) * 1024
}

export function printTable(rows: Row[]): void {
  const cells = rows.map(({ what, hepwrap, docker = '', ratio }) => [
    what,
    hepwrap,
    docker,
    ratio === undefined ? '' : ratio.toFixed(2),
  ])
  const table = [['', 'hepwrap', 'docker run', 'ratio'], ...cells]
  const widths = [0, 1, 2, 3].map((column) => Math.max(...table.map((row) => row[column]!.length)))
  for (const row of table) {
    const [what, ...figures] = row.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!),
    )
    console.log([what, ...figures].join('  ').trimEnd())
  }
}
