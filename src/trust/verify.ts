// The aggregator's side of trust: who sent a request. Decides before the body is read; the body itself is held against
// what was signed once it is there.
import type { Clock } from '../base/clock.js'
import { HepwrapError, quote } from '../base/errors.js'
import {
  isOpened,
  MUNGE_EXPIRED,
  MUNGE_REPLAYED,
  MUNGE_REWOUND,
  openCredential,
  type MungedOptions,
  type OpenedCredential,
  type RefusedCredential,
} from './munge-socket.js'
import { rememberUsed, type OnceOnly } from './once-only.js'
import { parseRequestLine, sha256Hex } from './request-line.js'
import type { TokenList } from './token-list.js'

export interface IncomingRequest {
  readonly method: string
  /** As it stands in the request line. */
  readonly target: string
  /** The header. */
  readonly authorization: string | undefined
}

/** Whose a request is. What he may do is for the aggregator to say. */
export type Sender =
  | { readonly by: 'munge'; readonly uid: number; readonly origin: string }
  | { readonly by: 'node-token'; readonly cluster: string; readonly node: string }
  | {
      readonly by: 'token'
      readonly uid: number
      readonly user: string
      readonly operator: boolean
    }

export interface Vouched {
  readonly sender: Sender
  /** When the credential was made, by the sender's clock; undefined: it does not say. */
  readonly madeAtMs: number | undefined
  /** Throws HW_CREDENTIAL_INVALID if these are not the bytes that were signed. A token signs nothing. */
  checkBody(body: Uint8Array): void
}

export interface Verifier {
  /** Throws the 401 codes, and HW_MUNGE_UNAVAILABLE where it cannot be told. */
  verify(request: IncomingRequest): Promise<Vouched>
}

export interface MungeVerifierOptions {
  readonly clock: Clock
  readonly munged?: MungedOptions
}

/** Longer than any credential around a request line of ours. */
const MAX_CREDENTIAL_CHARACTERS = 24 * 1024
const MUNGE_SCHEME = /^MUNGE (MUNGE:[A-Za-z0-9+/=]+:)$/
const TOKEN_SCHEME = /^Bearer ([A-Za-z0-9._~+/=-]{1,512})$/i

export function mungeVerifier({ clock, munged }: MungeVerifierOptions): Verifier {
  const used = rememberUsed(clock)
  return {
    verify: async (request) => {
      const credential = credentialOf(request, MUNGE_SCHEME, 'MUNGE')
      refuseRespelled(credential)
      const answer = await openCredential(credential, munged)
      if (!isOpened(answer)) throw refusedByMunge(answer)
      return vouchedFor(credential, answer, request, used)
    },
  }
}

/** `tokens` is asked anew for each request: the list may be read again without a restart. */
export function tokenVerifier(tokens: () => TokenList): Verifier {
  return {
    verify: async (request) => {
      const holder = tokens().holderOf(credentialOf(request, TOKEN_SCHEME, 'Bearer'))
      if (holder === undefined)
        throw new HepwrapError('HW_CREDENTIAL_INVALID', 'the token is nobody’s here')
      const sender: Sender =
        holder.role === 'node'
          ? { by: 'node-token', cluster: holder.cluster, node: holder.node }
          : {
              by: 'token',
              uid: holder.uid,
              user: holder.user,
              operator: holder.role === 'operator',
            }
      return { sender, madeAtMs: undefined, checkBody: () => undefined }
    },
  }
}

function credentialOf({ authorization }: IncomingRequest, form: RegExp, scheme: string): string {
  if (authorization === undefined || authorization === '')
    throw new HepwrapError(
      'HW_CREDENTIAL_MISSING',
      `the request has no header "Authorization: ${scheme} …"`,
    )
  const [, credential] =
    authorization.length <= MAX_CREDENTIAL_CHARACTERS ? (form.exec(authorization) ?? []) : []
  if (credential !== undefined) return credential
  const [given = ''] = authorization.split(' ')
  throw new HepwrapError(
    'HW_CREDENTIAL_INVALID',
    given.toLowerCase() === scheme.toLowerCase()
      ? `what follows ${quote(given, 20)} is no credential`
      : `this aggregator takes "Authorization: ${scheme} …", not ${quote(given, 20)}`,
  )
}

// Base64 has several spellings of the same bytes; what was used is remembered by its text.
function refuseRespelled(credential: string): void {
  const inner = credential.slice('MUNGE:'.length, -1)
  if (Buffer.from(inner, 'base64').toString('base64') !== inner)
    throw new HepwrapError('HW_CREDENTIAL_INVALID', 'the credential is not as munged writes one')
}

function vouchedFor(
  credential: string,
  { payload, uid, origin, madeAtMs, ttlMs }: OpenedCredential,
  { method, target }: IncomingRequest,
  used: OnceOnly,
): Vouched {
  if (!used.isFirst(credential, ttlMs))
    throw new HepwrapError('HW_CREDENTIAL_REPLAYED', 'the credential has been used before')
  const bound = parseRequestLine(payload)
  if (bound === undefined) throw madeForAnother('something else than a request to hepwrap')
  if (bound.method !== method || bound.target !== target)
    throw madeForAnother(
      `${quote(`${bound.method} ${bound.target}`)}, not ${method} ${quote(target)}`,
    )
  return {
    sender: { by: 'munge', uid, origin },
    madeAtMs,
    checkBody: (body) => {
      if (sha256Hex(body) !== bound.bodySha256) throw madeForAnother('another body')
    },
  }
}

const madeForAnother = (what: string) =>
  new HepwrapError('HW_CREDENTIAL_INVALID', `the credential was made for ${what}`)

function refusedByMunge({ error, text }: RefusedCredential): HepwrapError {
  if (error === MUNGE_REPLAYED)
    return new HepwrapError('HW_CREDENTIAL_REPLAYED', 'the credential has been used before')
  if (error === MUNGE_EXPIRED || error === MUNGE_REWOUND)
    return new HepwrapError(
      'HW_CREDENTIAL_EXPIRED',
      error === MUNGE_EXPIRED
        ? 'the credential has expired'
        : 'the credential was made in the future, by this host’s clock',
    )
  return new HepwrapError('HW_CREDENTIAL_INVALID', `munged refuses the credential: ${quote(text)}`)
}
