// What the site says, asked for without starting anything: `hepwrap run --dry-run`, `hepwrap policy check` and `policy show`.
import { Type, type Static } from '@sinclair/typebox'
import { RunRequest } from './run-api.js'

/** One thing that was judged. */
export interface PolicyPoint {
  /** "image", "mount", "--memory" */
  readonly point: string
  readonly value: string
  /** What of the site decided: file, line, rule, key, entry. */
  readonly decided_by: string
  /** Null: no objection. */
  readonly refusal: { readonly code: string; readonly message: string } | null
  /** Said beside the verdict: "left out: …". */
  readonly note: string | null
}

export interface DryRun {
  readonly verdict: 'allowed' | 'refused'
  /** The first refusal, as `run` would say it; null where it is allowed. */
  readonly refusal: { readonly code: string; readonly message: string } | null
  readonly points: readonly PolicyPoint[]
  /** Body of the engine's create request; null where the run is refused. */
  readonly create_request: object | null
}

const Name = Type.String({ minLength: 1, maxLength: 255, pattern: '^[^\\u0000-\\u001f\\u007f]+$' })

/** Query of `GET /v1/policy`, root only: a user's name or uid, and the job that he is thought to be in. */
export const PolicyQuery = Type.Object(
  {
    user: Name,
    account: Type.Optional(Name),
    partition: Type.Optional(Name),
  },
  { additionalProperties: false },
)
export type PolicyQuery = Static<typeof PolicyQuery>

/** Body of `POST /v1/policy/check`, root only: his request as if he had made it; its descriptors are those of the client. */
export const PolicyCheck = Type.Object(
  { as: PolicyQuery, request: RunRequest },
  { additionalProperties: false },
)
export type PolicyCheck = Static<typeof PolicyCheck>

/** Reply to `GET /v1/policy`. */
export interface PolicyShown {
  readonly user: {
    readonly name: string | null
    readonly uid: number
    readonly gid: number
    readonly groups: readonly number[]
    readonly home: string | null
    readonly shell: string | null
  }
  readonly settings: readonly {
    readonly key: string
    readonly value: unknown
    readonly decided_by: string
  }[]
}
