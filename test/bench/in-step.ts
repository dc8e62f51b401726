// Commands timed from inside a job step of alice's: what a user waits for.
import { as, expectSuccess, type Running } from '../world/world.js'
import type { Turn, Wanted } from './timed.js'

export const turn = (name: string, argv: string[], copies = 1) => ({ name, argv, copies })

export const msOf = (results: Turn[], name: string) =>
  results.filter((result) => result.name === name).map(({ ms: took }) => took)

/** Turn by turn; $STEP in an argv is the step's memory cgroup. */
export async function timed(turns: Wanted['turns']): Promise<Turn[]> {
  // Only the shell in the step knows where it is.
  const script =
    'exec node /opt/hepwrap/.cache/bench/timed.mjs "$(printf %s "$0" | sed "s|[$]STEP|$STEP|g")"'
  const wanted: Wanted = { turns, env: {} }
  const step = inStep(script, JSON.stringify(wanted))
  return JSON.parse(expectSuccess(await step.result).stdout) as Turn[]
}

/** A shell in a job step that has the whole node; $STEP is its memory cgroup. */
export function inStep(script: string, ...args: string[]): Running {
  const step = "export STEP=$(sed -n 's/^[0-9]*:memory://p' /proc/self/cgroup)"
  const argv = ['-Q', '-c', '2', '--mem=3000', 'sh', '-c', `${step}; ${script}`, ...args]
  return as('alice').startSrun(argv, { timeoutMs: 120_000 })
}
