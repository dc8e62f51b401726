// What a batch's range means for its ledger, and what is worth a line in the log.
import type { LedgerRange, LedgerRemark } from './store.js'

/** The end of what is there without a gap, if the range begins beyond it. */
export const gapBefore = (
  { after }: LedgerRange,
  known: { readonly acked: number } | undefined,
): number | undefined => (after > (known?.acked ?? 0) ? (known?.acked ?? 0) : undefined)

export function remarksOn(
  { ledger }: LedgerRange,
  isKnown: boolean,
  latest: string | undefined,
): readonly LedgerRemark[] {
  if (latest === ledger) return []
  if (isKnown) return [{ kind: 'two-ledgers', previous: latest }]
  return [{ kind: latest === undefined ? 'first-ledger' : 'new-ledger', previous: latest }]
}
