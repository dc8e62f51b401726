// What a MUNGE credential is made around: the one request that it is good for.
import { createHash } from 'node:crypto'

/** One request, as far as a credential binds it. */
export interface BoundRequest {
  readonly method: string
  /** Path with its query, as it stands in the request line. */
  readonly target: string
  readonly bodySha256: string
}

const MARK = 'hepwrap1'

export const sha256Hex = (bytes: Uint8Array | string): string =>
  createHash('sha256').update(bytes).digest('hex')

/** "hepwrap1 POST /v1/records?after=0 e3b0c442…": the body as it is sent, compressed or not. */
export const requestLine = ({ method, target, bodySha256 }: BoundRequest): string =>
  `${MARK} ${method} ${target} ${bodySha256}`

/** Undefined: this text was made for something else. */
export function parseRequestLine(text: string): BoundRequest | undefined {
  const [mark, method, target, bodySha256, more] = text.split(' ')
  if (mark !== MARK || more !== undefined) return undefined
  if (method === undefined || target === undefined || bodySha256 === undefined) return undefined
  return { method, target, bodySha256 }
}
