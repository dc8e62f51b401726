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
 * Within one ledger its own numbering decides. Between two, or without any, nothing says which is later: then a record
 * that has ended does not run again, and anything else that differs is a correction.
 */
export function supersedes(next: Version, kept: Version): boolean {
  if (next.ledger !== undefined && next.ledger === kept.ledger)
    return changeSeq(next) > changeSeq(kept)
  if (next.row[AT.state] === 'RUNNING' && kept.row[AT.state] !== 'RUNNING') return false
  return !sameContent(next.row, kept.row)
}

const changeSeq = ({ row }: Version): number => Number(row[AT.change_seq])
