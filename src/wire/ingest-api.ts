// What nodes send to the aggregator: `POST /v1/records`, `PUT /v1/nodes/…/facts`, and what it answers.
//
// A batch is NDJSON, one record a line, of one node. A ledger numbers its changes: each record carries the number of its
// own last change, and the batch says which range of them it covers: (after, upto]. Ranges, because a record that
// changes again leaves its old number empty. The aggregator remembers the end of the last range of each ledger ("acked").
//   after > acked   409 HW_BATCH_GAP with `acked`: the node goes back to it and sends again.
//   otherwise       each record is written unless the same or a later change of it is known; acked = max(acked, upto).
// A batch without `ledger` (by hand, or of another source) has no range; its records are idempotent by id alone: RUNNING
// never replaces a state that is final, all else replaces what differs.
// Refusals: HW_BATCH_INVALID (400: this batch never, halve it), HW_BATCH_TOO_LARGE (413), HW_NODE_MISMATCH (403),
// HW_NOT_OPERATOR (403), the four of credentials (401); HW_AGGREGATOR_BUSY, HW_STORE_UNAVAILABLE and HW_MUNGE_UNAVAILABLE (503:
// again, after Retry-After).
import { Type, type Static } from '@sinclair/typebox'
import type { UsageRecord } from './usage-api.js'

/** Query of `POST /v1/records`; all four ledger fields or none of them. */
export const BatchQuery = Type.Object(
  {
    cluster: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
    node: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
    /** 32 hex digits, drawn when the ledger was made: a node that is installed anew has another. */
    ledger: Type.Optional(Type.String({ pattern: '^[0-9a-f]{32}$' })),
    after: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
    upto: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
    /** The node's clock, ms since the epoch; told apart from ours in the log and the metrics. */
    sent_at_ms: Type.Optional(Type.Integer({ minimum: 0 })),
  },
  { additionalProperties: false },
)
export type BatchQuery = Static<typeof BatchQuery>

/** A line of a batch: a record, and in a batch of a ledger the number of its last change (absent: 0). */
export type BatchLine = UsageRecord & { readonly change_seq?: number }

export const MAX_BATCH_RECORDS = 10_000
/** After decompression (`content-encoding: gzip` is taken). */
export const MAX_BATCH_BYTES = 16 * 1024 * 1024

/** 200. What became of each record of the batch; the three add up to its lines. */
export interface BatchReply {
  readonly inserted: number
  readonly changed: number
  readonly duplicates: number
  /** Of a batch of a ledger: everything up to here is durable. */
  readonly acked: number | null
}

/** 409 HW_BATCH_GAP, beside `error`. */
export interface GapReply {
  readonly error: { readonly code: 'HW_BATCH_GAP'; readonly message: string }
  readonly acked: number
}

/** Body of `PUT /v1/nodes/CLUSTER/NODE/facts`: what the node is, sent once a change. Memory in bytes. */
export const NodeFacts = Type.Object(
  {
    /** RFC 3339: since when this holds. */
    since: Type.String({ maxLength: 40 }),
    cpu_model: Type.Union([Type.String({ maxLength: 256 }), Type.Null()]),
    sockets: Type.Union([Type.Integer({ minimum: 0 }), Type.Null()]),
    cores: Type.Union([Type.Integer({ minimum: 0 }), Type.Null()]),
    threads: Type.Union([Type.Integer({ minimum: 0 }), Type.Null()]),
    memory_bytes: Type.Union([Type.Integer({ minimum: 0 }), Type.Null()]),
    kernel: Type.Union([Type.String({ maxLength: 256 }), Type.Null()]),
    os: Type.Union([Type.String({ maxLength: 256 }), Type.Null()]),
    engine: Type.Union([Type.String({ maxLength: 256 }), Type.Null()]),
    engine_version: Type.Union([Type.String({ maxLength: 256 }), Type.Null()]),
    hepwrap_version: Type.String({ maxLength: 64 }),
    /** HEPscore23 of the whole node, as its admin configured it; null: not known. */
    hepscore: Type.Union([Type.Number({ exclusiveMinimum: 0 }), Type.Null()]),
  },
  { additionalProperties: false },
)
export type NodeFacts = Static<typeof NodeFacts>

/** A row of `GET /v1/nodes`: facts, and of which node. `since` inclusive; they hold until the node's next row. */
export type NodeRow = NodeFacts & { readonly cluster: string; readonly node: string }
