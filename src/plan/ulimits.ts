// Resource limits: the caller's own, for the engine's child would have the engine's, and --ulimit in place of them.
// Whether the caller may have what he asks for is policy's question.
import { HepwrapError, quote } from '../base/errors.js'
import { ULIMIT_NAMES } from '../config/ulimit-names.js'
import type { UlimitRequest } from '../wire/run-api.js'
import type { Rlimits } from './run-plan.js'

/** The caller's own, down to the site's ceilings, then what he asked for; of several for one name the last counts, as with docker. */
export function planUlimits(
  requested: readonly UlimitRequest[],
  own: Rlimits = new Map(),
  ceilings: Readonly<Record<string, number | 'unlimited'>> = {},
): readonly UlimitRequest[] {
  for (const { name, soft, hard } of requested) {
    if (!ULIMIT_NAMES.includes(name))
      throw invalid(`--ulimit ${quote(name)}: there is no such limit`)
    if (isAbove(soft, hard))
      throw invalid(`--ulimit ${name}: the soft limit ${soft} is above the hard limit ${hard}`)
  }
  const inherited = [...own].map(([name, { soft, hard }]) => {
    const ceiling = ceilings[name]
    const least = (limit: number) =>
      typeof ceiling === 'number' && isAbove(limit, ceiling) ? ceiling : limit
    return { name, soft: least(soft), hard: least(hard) }
  })
  return [...new Map([...inherited, ...requested].map((ulimit) => [ulimit.name, ulimit])).values()]
}

/** Reports whether one limit is above another; -1 is above every number. */
export const isAbove = (limit: number, ceiling: number): boolean =>
  ceiling !== -1 && (limit === -1 || limit > ceiling)

const invalid = (what: string) => new HepwrapError('HW_OPTION_INVALID', what)
