// The client's side of trust: what a request carries so that the aggregator knows who sends it.
import { HepwrapError, quote } from '../base/errors.js'
import { readSecretFile } from './secret-file.js'
import { makeCredential, type MungedOptions } from './munge-socket.js'
import { requestLine, sha256Hex } from './request-line.js'

export interface OutgoingRequest {
  readonly method: string
  /** Path with its query. */
  readonly target: string
  /** As it goes over the wire: after compression. */
  readonly body: Uint8Array
}

export interface Signer {
  /** The value of the header Authorization; a new one for each attempt. Throws HW_MUNGE_UNAVAILABLE. */
  sign(request: OutgoingRequest): Promise<string>
}

export interface SignerOptions {
  readonly auth: 'munge' | 'token'
  /** Of auth = "token". */
  readonly tokenFile?: string
  readonly munged?: MungedOptions
}

/** Throws HW_CONFIG_INVALID where the token file is unfit. */
export function openSigner({ auth, tokenFile = '', munged }: SignerOptions): Signer {
  return auth === 'token' ? tokenSigner(tokenFile) : mungeSigner(munged)
}

const mungeSigner = (munged: MungedOptions | undefined): Signer => ({
  sign: async ({ method, target, body }) =>
    `MUNGE ${await makeCredential(requestLine({ method, target, bodySha256: sha256Hex(body) }), munged)}`,
})

// Read anew for each request: a token is changed without a restart.
function tokenSigner(path: string): Signer {
  const read = () => `Bearer ${readToken(path)}`
  read()
  return { sign: async () => read() }
}

function readToken(path: string): string {
  const token = readSecretFile(path).trim()
  if (!/^[A-Za-z0-9._~+/=-]{16,512}$/.test(token))
    throw new HepwrapError(
      'HW_CONFIG_INVALID',
      `${quote(path)} must hold one token of 16 to 512 characters (letters, digits, ._~+/=-) and nothing else`,
    )
  return token
}
