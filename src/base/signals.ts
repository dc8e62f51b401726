// Signal names and numbers as docker and Slurm write them.
import { constants } from 'node:os'

/** "SIGTERM" or "15" to a number; undefined for what Linux does not have. */
export function signalNumber(name: string): number | undefined {
  if (/^[0-9]{1,2}$/.test(name)) {
    const value = Number(name)
    return value >= 1 && value <= 64 ? value : undefined
  }
  const upper = name.toUpperCase()
  const full = upper.startsWith('SIG') ? upper : `SIG${upper}`
  return (constants.signals as Readonly<Record<string, number>>)[full]
}
