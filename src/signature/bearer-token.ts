// The token that a registry wants to see even of those whom nobody knows: it names a server in its 401, and that one
// gives a token to whoever asks. We have no credentials, and ask as anybody.
import { HepwrapError, quote } from '../base/errors.js'
import { fieldOf, parseJson } from './cosign.js'
import type { Answer } from './http-exchange.js'

const MAX_TOKEN = 16 * 1024
/** It is searched by expressions whose time goes with the square of its length. */
const MAX_CHALLENGE = 2048
/** What may stand in a header, and no line end. */
const TOKEN = /^[\x21-\x7e]+$/

export const MAX_TOKEN_ANSWER_BYTES = 64 * 1024

/** Where the token is to be asked for, by the WWW-Authenticate of a 401; throws HW_REGISTRY_AUTH where there is none. */
export function tokenUrl(challenge: string | undefined, asked: URL, repository: string): URL {
  const fields = fieldsOf(challenge ?? '', asked)
  const url = parseUrl(fields.get('realm') ?? '')
  if (url === undefined) throw denied(asked, 'wants credentials, and hepwrap has none')
  // A registry that is asked safely may not have us ask another one unsafely.
  const isSafe =
    url.protocol === 'https:' || (url.protocol === 'http:' && asked.protocol === 'http:')
  if (!isSafe || url.username !== '' || url.password !== '')
    throw denied(
      asked,
      `names ${quote(url.href)} to ask for a token, which is not an https address`,
    )
  const service = fields.get('service')
  if (service !== undefined) url.searchParams.set('service', service)
  url.searchParams.set('scope', `repository:${repository}:pull`)
  return url
}

function fieldsOf(challenge: string, asked: URL): ReadonlyMap<string, string> {
  if (challenge.length > MAX_CHALLENGE)
    throw denied(asked, `wants credentials in more than ${MAX_CHALLENGE} characters`)
  const [, words = ''] = /\bbearer\s+(.*)/is.exec(challenge) ?? []
  return new Map(
    Array.from(words.matchAll(/([a-z_]+)="([^"]*)"/gi), ([, name = '', value = '']) => [
      name.toLowerCase(),
      value,
    ]),
  )
}

/** The token of the server's answer; throws HW_REGISTRY_AUTH where it gives none. */
export function tokenOf({ status, body }: Answer, asked: URL): string {
  const answer = status === 200 && body !== undefined ? parseJson(body) : undefined
  const token = fieldOf(answer, 'token') ?? fieldOf(answer, 'access_token')
  if (typeof token === 'string' && token.length <= MAX_TOKEN && TOKEN.test(token)) return token
  throw denied(asked, `gives no token to those without credentials (status ${status})`)
}

export const denied = ({ host }: URL, what: string) =>
  new HepwrapError('HW_REGISTRY_AUTH', `the registry ${quote(host)} ${what}`)

function parseUrl(text: string): URL | undefined {
  return URL.canParse(text) ? new URL(text) : undefined
}
