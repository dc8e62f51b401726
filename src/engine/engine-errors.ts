// Engine failures in our words. Only this room sees an HTTP status or an errno of the engine's socket.
import { HepwrapError, quote, type ReasonCode } from '../base/errors.js'

/** What dockerode rejects with: an HTTP status and message, or an errno of the socket. */
interface EngineFailure {
  readonly statusCode?: number
  readonly code?: string
  readonly message: string
  readonly json?: { readonly message?: string }
}

const CONNECTION_ERRORS = new Set([
  'ECONNREFUSED',
  'ENOENT',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EACCES',
  'EAGAIN', // the engine's backlog of connections is full
])

/** Reports whether the engine said that the thing asked for does not exist. */
export const isNotFound = (thrown: unknown): boolean => failure(thrown).statusCode === 404

/** `attempt` says what was tried: "create the container". */
export function engineError(attempt: string, thrown: unknown): HepwrapError {
  if (thrown instanceof HepwrapError) return thrown
  const { statusCode, code } = failure(thrown)
  if (statusCode === undefined && code !== undefined && CONNECTION_ERRORS.has(code))
    return new HepwrapError('HW_ENGINE_DOWN', `the container engine does not answer (${code})`, {
      cause: thrown,
    })
  return new HepwrapError('HW_ENGINE_FAILED', `cannot ${attempt}: ${oneLine(thrown)}`, {
    cause: thrown,
  })
}

/** How registries' failures read after they went through an engine; first match wins. */
const PULL_FAILURES: readonly (readonly [RegExp, ReasonCode, string])[] = [
  [
    /no matching manifest for|no supported platform found|does not match the specified platform|no image found in .* for architecture|operating system .* cannot be used on this platform/i,
    'HW_IMAGE_PLATFORM',
    'has no variant for this node',
  ],
  [
    /unauthorized|authentication required|no basic auth credentials|denied: |403 forbidden|HTTP 40[13] response|StatusCode: 40[13]/i,
    'HW_REGISTRY_AUTH',
    'is denied by its registry',
  ],
  [
    /manifest.*(unknown|not found)|repository .*not found|name unknown|not found: |does not exist|reading manifest .*StatusCode: 404|HTTP 404 response/i,
    'HW_IMAGE_NOT_FOUND',
    'is not in its registry',
  ],
  [
    /dial tcp|connection refused|no such host|i\/o timeout|TLS handshake timeout|deadline exceeded|server misbehaving|unreachable|EOF$|Client\.Timeout|received unexpected HTTP status: 5|StatusCode: 5/i,
    'HW_REGISTRY_DOWN',
    'cannot be pulled: its registry does not answer',
  ],
]

export function pullError(image: string, thrown: unknown): HepwrapError {
  const translated = engineError('pull', thrown)
  if (translated.code === 'HW_ENGINE_DOWN') return translated
  const text = oneLine(thrown)
  for (const [pattern, code, words] of PULL_FAILURES)
    if (pattern.test(text))
      return new HepwrapError(code, `image ${quote(image)} ${words}: ${text}`, { cause: thrown })
  return new HepwrapError('HW_PULL_FAILED', `image ${quote(image)} cannot be pulled: ${text}`, {
    cause: thrown,
  })
}

const failure = (thrown: unknown): EngineFailure =>
  thrown instanceof Error ? thrown : { message: String(thrown) }

function oneLine(thrown: unknown): string {
  const { json, message } = failure(thrown)
  const text = json?.message ?? message.replace(STATUS_PREFIX, '')

  return text
    .replace(INSIDE, '(…)')
    .replace(/[\s\u0000-\u001f\u007f-\u009f]+/g, ' ')
    .trim()
    .slice(0, 500)
}

/** Where engine and daemon keep what is theirs: no user's business, and never what he wrote himself. */
const INSIDE =
  /\/(?:var\/(?:lib|run)|run)\/(?:docker|containerd|containers|hepwrap(?:-\w+)?)\/[^\s"':,)]*/g

/** docker-modem's own, before what the engine said: "(HTTP code 404) no such container - ". */
const STATUS_PREFIX = /^\(HTTP code \d+\) [\w ]+ - /
