// One row of the attack suite: what a hostile user tries, where the idea is from, and what must hold outside of the container.
// test/unit/house/attacks.test.ts reads the rows of all files and writes docs/attacks.md.
import { it } from 'vitest'

/** `id`: the family's letter and a number, "P07". `source`: a CVE, a peer's test ("Charliecloud run_uidgid"), or "own". */
export function attack(
  id: string,
  source: string,
  title: string,
  run: () => Promise<void>,
  timeoutMs?: number,
): void {
  it(`${id} ${title} [${source}]`, run, timeoutMs)
}
