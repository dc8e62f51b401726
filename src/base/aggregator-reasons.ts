// The part of the catalogue that is about the aggregator: who may write and read, batches, and its store. See reasons.ts.
import { refused, type Reason } from './reason.js'

export const AGGREGATOR_REASONS = {
  // Who asks
  HW_CREDENTIAL_MISSING: refused(
    401,
    'the request carries no credential',
    'use a hepwrap client, or send the token that the site gave you',
  ),
  HW_CREDENTIAL_INVALID: refused(
    401,
    'the credential is forged, damaged, made for another request, or of a kind that this aggregator does not take',
    'compare the MUNGE keys, or the token files, and [auth] of both sides',
  ),
  HW_CREDENTIAL_EXPIRED: refused(
    401,
    'the credential is too old, or made in the future',
    'compare the clocks of both hosts; try again',
  ),
  HW_CREDENTIAL_REPLAYED: refused(
    401,
    'the credential has been used before; each is good for one request',
    'make a new one for each request',
  ),
  HW_MUNGE_UNAVAILABLE: refused(
    503,
    'munged does not answer on this host',
    'start munged; see its log',
  ),
  HW_NODE_MISMATCH: refused(
    403,
    'a node may write its own records only, and this credential is not of the node that the request names',
    'correct [node] name, the address of that name, or the token; see docs/aggregator.md',
  ),
  HW_NOT_OPERATOR: refused(
    403,
    'only operators of the aggregator may ask this',
    'ask an operator, or have yourself added to [auth] operators',
  ),

  // Batches of records
  HW_BATCH_INVALID: refused(
    400,
    'a line of the batch is not a record, or the batch is not what it says it is',
    'see the message; the node sets the record aside and goes on',
  ),
  HW_BATCH_TOO_LARGE: refused(
    413,
    'the batch has more records or bytes than one may have',
    'send it in parts',
  ),
  HW_LENGTH_REQUIRED: refused(
    411,
    'the request does not say how long its body is',
    'send a Content-Length, not chunks',
  ),
  HW_BATCH_GAP: refused(
    409,
    'records before this batch have not arrived',
    'nothing: the node sends them again',
  ),

  // The aggregator itself
  HW_AGGREGATOR_BUSY: refused(
    503,
    'the aggregator has as much in hand as it may',
    'nothing: nodes come again after a while',
  ),
  HW_STORE_UNAVAILABLE: refused(
    503,
    "the aggregator's database does not take or give anything",
    'tell the administrator: disk full, or the database down?',
  ),
  HW_AGGREGATOR_DOWN: refused(
    503,
    'the aggregator does not answer',
    'try again; tell the administrator',
  ),
  HW_CLOCK_SKEW: refused(
    500,
    "this node's clock and the aggregator's differ, so that usage is booked into the wrong hour and credentials expire",
    'set both by NTP',
  ),
  HW_RECORDS_SET_ASIDE: refused(
    500,
    'the aggregator refuses records of this node as they are; they stay in its ledger',
    'see the message; bring hepwrapd and hepwrap-aggregator to the same version, or give the node its old name back, and restart hepwrapd, which sends them again',
  ),
  HW_RECORDS_DROPPED: refused(
    500,
    'the ledger was full, and records that the aggregator did not have were removed',
    'bring the aggregator back; then give the ledger more room ([accounting] max_ledger_mb)',
  ),
  HW_AGGREGATOR_REPLY: refused(
    502,
    'what answered is no aggregator, or one of another version',
    'correct the address of the aggregator',
  ),
} as const satisfies Record<string, Reason>
