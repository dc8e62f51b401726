// The one error class, and texts of others as a message may show them. The catalogue of codes is in reasons.ts.
import { REASONS, type ReasonCode } from './reasons.js'

export { EXIT_REFUSED } from './reason.js'
export { isReasonCode, REASONS, type ReasonCode } from './reasons.js'

/** The one error class: a run, a request or a start-up cannot go on. The message quotes the offending value. */
export class HepwrapError extends Error {
  readonly code: ReasonCode
  /** Of a refusal by the site: what says so, with file and line. */
  readonly rule: string | undefined

  constructor(
    code: ReasonCode,
    message: string,
    options?: ErrorOptions & { readonly rule?: string },
  ) {
    super(message, options)
    this.name = 'HepwrapError'
    this.code = code
    this.rule = options?.rule
  }

  get statusCode(): number {
    return REASONS[this.code].http
  }
}

/** Any thrown value as a HepwrapError; what is not ours becomes HW_INTERNAL with the cause kept. */
export function asHepwrapError(thrown: unknown): HepwrapError {
  if (thrown instanceof HepwrapError) return thrown
  const text = thrown instanceof Error ? thrown.message : String(thrown)
  return new HepwrapError('HW_INTERNAL', text, { cause: thrown })
}

/** A user's or image's text as it may stand in a one-line message: control characters escaped, length bounded. */
export function quote(text: string, maxLength = 200): string {
  const cut = text.length > maxLength ? `${text.slice(0, maxLength)}…` : text
  return printableJson(cut)
}

/** JSON that may be written to a terminal: the control and bidi characters that JSON.stringify leaves are escaped. */
export const printableJson = (value: unknown, indent?: number): string =>
  JSON.stringify(value, null, indent).replace(
    /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
