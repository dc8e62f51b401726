// Whether what comes replaces what is kept of the same record: the rule that makes sending again harmless.
import { AT, sameContent, type StoredRow } from './stored-row.js'

export interface Version {
  readonly row: StoredRow
  /** The database's number of the ledger that told of it; undefined: a batch without one. */
  readonly ledger: number | undefined
}

/** What becomes of a record whose id is known. `foreign`: it is another node's, which alone may change it. */
export type Verdict = 'changed' | 'corrected' | 'duplicates' | 'foreign'

export function verdictOn(next: Version, kept: Version): Verdict {
  if (next.row[AT.node] !== kept.row[AT.node] || next.row[AT.cluster] !== kept.row[AT.cluster])
    return 'foreign'
  if (!supersedes(next, kept)) return 'duplicates'
  return kept.row[AT.state] === 'RUNNING' ? 'changed' : 'corrected'
}

/**
 * Within one ledger its own numbering decides. Another ledger can know the id from a copy alone, put back while the run
 * was RUNNING: what has ended stays as it was counted. Without a ledger it is a correction by hand: all that differs counts,
 * but a record that has ended does not run again.
 */
export function supersedes(next: Version, kept: Version): boolean {
  if (next.ledger !== undefined && next.ledger === kept.ledger)
    return changeSeq(next) > changeSeq(kept)
  const hasEnded = kept.row[AT.state] !== 'RUNNING'
  const isCopy = next.ledger !== undefined && kept.ledger !== undefined
  if (hasEnded && (isCopy || next.row[AT.state] === 'RUNNING')) return false
  return !sameContent(next.row, kept.row)
}

const changeSeq = ({ row }: Version): number => Number(row[AT.change_seq])
