// The daemon's answer to our upgrade request: 101 and then frames, or an ordinary HTTP error.
import type { ErrorReply } from '../wire/run-api.js'

export type UpgradeReply =
  | { readonly kind: 'incomplete' }
  /** What stands behind the head are the first bytes of frames. */
  | { readonly kind: 'upgraded'; readonly rest: Buffer }
  | { readonly kind: 'refused'; readonly status: number; readonly error: ErrorReply | undefined }
  | { readonly kind: 'alien' }

const MAX_REPLY_BYTES = 64 * 1024

/** Reads all that has come so far; `ended` says that no more will. */
export function parseUpgradeReply(bytes: Buffer, ended: boolean): UpgradeReply {
  const isFull = ended || bytes.length > MAX_REPLY_BYTES
  const headBytes = bytes.indexOf('\r\n\r\n')
  if (headBytes < 0) return isFull ? { kind: 'alien' } : { kind: 'incomplete' }
  const head = bytes.toString('latin1', 0, headBytes)
  const rest = bytes.subarray(headBytes + 4)
  const status = Number(/^HTTP\/1\.[01] (\d{3})\b/.exec(head)?.[1] ?? 0)
  if (status === 101) return { kind: 'upgraded', rest }
  if (status < 400) return { kind: 'alien' }
  if (!isFull && rest.length < contentLength(head)) return { kind: 'incomplete' }
  return { kind: 'refused', status, error: parseErrorReply(rest.toString('utf8')) }
}

/** Without one the body goes on to the end of the connection. */
const contentLength = (head: string) =>
  Number(/^content-length: *(\d+) *$/im.exec(head)?.[1] ?? Number.POSITIVE_INFINITY)

/** `{code, message}`, or undefined for anything else. */
export function parseErrorReply(text: string): ErrorReply | undefined {
  try {
    const value = JSON.parse(text) as Partial<ErrorReply> | null
    if (typeof value?.code !== 'string' || typeof value.message !== 'string') return undefined
    return { code: value.code, message: value.message }
  } catch {
    return undefined
  }
}
