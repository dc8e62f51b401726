// The least of a registry's client: the signatures that lie beside an image, and nothing else. It asks as docker does,
// https first, and http only of a registry that the engine itself calls insecure. It has no credentials and knows
// neither proxies nor mirrors.
import { HepwrapError, quote } from '../base/errors.js'
import { abortable } from '../base/abortable.js'
import type { ImageRef } from '../plan/image-ref.js'
import { denied, MAX_TOKEN_ANSWER_BYTES, tokenOf, tokenUrl } from './bearer-token.js'
import {
  MAX_MANIFEST_BYTES,
  MAX_PAYLOAD_BYTES,
  parseSignatureManifest,
  signatureTag,
  type Signature,
  type SignatureLayer,
} from './cosign.js'
import { exchange, unreachable, type Answer, type Trust } from './http-exchange.js'
import { openTrustedCas, type TrustedCas } from './trusted-cas.js'

export interface RegistryOptions {
  /** Reports whether the engine would speak http, or TLS with anybody, to this registry ("host" or "host:port"). */
  readonly isInsecure: (host: string) => Promise<boolean>
  readonly certsDirectory?: string | undefined
  /** For everything together. */
  readonly totalMs?: number | undefined
}

export interface Registry {
  /** What lies beside this digest in the image's repository; undefined: nothing. Throws HW_REGISTRY_DOWN, HW_REGISTRY_AUTH
   * or HW_PULL_FAILED where it cannot tell. */
  fetchSignatures(
    ref: ImageRef,
    digest: string,
    signal: AbortSignal,
  ): Promise<readonly Signature[] | undefined>
}

const TOTAL_MS = 10_000
const MAX_REDIRECTS = 3
/** A server of tokens and a store of blobs; each costs a handshake, and the registry chooses how many there are. */
const MAX_OTHER_HOSTS = 2
const AT_ONCE = 4
const MANIFEST_TYPES =
  'application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json'

export function createRegistry(options: RegistryOptions): Registry {
  const { totalMs = TOTAL_MS, isInsecure } = options
  const casOf = openTrustedCas(options.certsDirectory)
  return {
    fetchSignatures: async (ref, digest, signal) => {
      const { host } = splitName(ref)
      const ending = new AbortController()
      const late = () => ending.abort(unreachable(host, `not done in ${totalMs / 1000} s`))
      const timer = setTimeout(late, totalMs)
      const bounded = AbortSignal.any([signal, ending.signal])
      try {
        return await abortable(
          fetchSignatures(ref, digest, { isInsecure, casOf, signal: bounded }),
          bounded,
        )
      } finally {
        clearTimeout(timer)
        ending.abort() // what still waits, waits for nobody
      }
    },
  }
}

/** "docker.io/library/busybox": registry "docker.io", repository "library/busybox". */
function splitName({ name }: ImageRef): { host: string; repository: string } {
  const slash = name.indexOf('/')
  return { host: name.slice(0, slash), repository: name.slice(slash + 1) }
}

interface Means {
  readonly isInsecure: RegistryOptions['isInsecure']
  readonly casOf: TrustedCas
  readonly signal: AbortSignal
}

async function fetchSignatures(
  ref: ImageRef,
  digest: string,
  means: Means,
): Promise<readonly Signature[] | undefined> {
  const { repository } = splitName(ref)
  const path = `manifests/${signatureTag(digest)}`
  const { session, answer } = await firstAnswer(ref, means, path)
  if (answer.status === 404) return undefined
  refuseUnlessOk(answer, session.base)
  if (answer.body === undefined)
    throw failed(
      session.base,
      `has more than ${MAX_MANIFEST_BYTES} bytes of signatures of ${quote(repository)}`,
    )
  return fetchPayloads(session, parseSignatureManifest(answer.body))
}

interface Session {
  /** Like "https://registry.example.org/v2/atlas/athena/". */
  readonly base: URL
  readonly repository: string
  readonly signal: AbortSignal
  readonly trustOf: (url: URL) => Trust | undefined
  /** Origins beside the registry's own that this fetch has been sent to. */
  readonly others: Set<string>
  /** Got at the first 401. */
  token: string | undefined
}

/** Asks for the manifest, over https and, of an insecure registry without that, over http; what answered stays the base. */
async function firstAnswer(
  ref: ImageRef,
  means: Means,
  path: string,
): Promise<{ session: Session; answer: Answer }> {
  const { host } = splitName(ref)
  const isInsecure = await means.isInsecure(host)
  const others = new Set<string>()
  const ask = async (scheme: 'https' | 'http') => {
    const session = openSession(scheme, ref, { ...means, isInsecure, others })
    const url = new URL(path, session.base)
    const wish = { url, accept: MANIFEST_TYPES, maxBytes: MAX_MANIFEST_BYTES }
    return { session, answer: await get(session, wish) }
  }
  try {
    return await ask('https')
  } catch (error) {
    means.signal.throwIfAborted()
    const isSilent = error instanceof HepwrapError && error.code === 'HW_REGISTRY_DOWN'
    if (!isInsecure || !isSilent) throw error
    return await ask('http')
  }
}

function openSession(
  scheme: 'https' | 'http',
  ref: ImageRef,
  how: Omit<Means, 'isInsecure'> & { isInsecure: boolean; others: Set<string> },
): Session {
  const { host, repository } = splitName(ref)
  const { casOf, isInsecure, others, signal } = how
  const server = host === 'docker.io' ? 'registry-1.docker.io' : host
  const address = `${scheme}://${server}/v2/${repository}/`
  if (!URL.canParse(address)) throw unreachable(host, 'this is no address')
  const base = new URL(address)
  const trustOf = (url: URL): Trust | undefined => {
    if (url.protocol !== 'https:') return undefined
    const isOwn = url.origin === base.origin
    return {
      secureContext: casOf(isOwn ? host : url.host),
      rejectUnauthorized: !(isOwn && isInsecure),
    }
  }
  return { base, repository, signal, trustOf, others, token: undefined }
}

interface Wish {
  readonly url: URL
  readonly accept: string
  readonly maxBytes: number
}

/** One GET; a 401 of the registry itself is answered with a token, once. */
async function get(session: Session, { url, accept, maxBytes }: Wish): Promise<Answer> {
  const { signal } = session
  const isOwn = url.origin === session.base.origin // no other host gets to see the token
  const ask = () => {
    const authorization =
      isOwn && session.token !== undefined ? `Bearer ${session.token}` : undefined
    const headers = { accept, ...(authorization === undefined ? {} : { authorization }) }
    return exchange({ url, headers, trust: session.trustOf(url), maxBytes, signal })
  }
  const answer = await ask()
  if (answer.status !== 401 || !isOwn || session.token !== undefined) return answer
  session.token = await fetchToken(session, answer.headers['www-authenticate'])
  return ask()
}

async function fetchToken(session: Session, challenge: string | undefined): Promise<string> {
  const url = tokenUrl(challenge, session.base, session.repository)
  admit(session, url)
  const headers = { accept: 'application/json' }
  const { signal } = session
  const maxBytes = MAX_TOKEN_ANSWER_BYTES
  return tokenOf(
    await exchange({ url, headers, trust: session.trustOf(url), maxBytes, signal }),
    session.base,
  )
}

/** A payload that is not there, or longer than a statement can be, leaves its signature out. */
async function fetchPayloads(
  session: Session,
  layers: readonly SignatureLayer[],
): Promise<readonly Signature[]> {
  const payloads = new Map<string, Buffer>()
  const wanted = new Set(layers.map(({ digest }) => digest)) // two keys sign one and the same statement
  const queue = wanted.values()
  const work = async () => {
    for (const digest of queue) {
      const payload = await fetchBlob(session, digest)
      if (payload !== undefined) payloads.set(digest, payload)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  return layers.flatMap((layer) => {
    const payload = payloads.get(layer.digest)
    return payload === undefined ? [] : [{ ...layer, payload }]
  })
}

async function fetchBlob(session: Session, digest: string): Promise<Buffer | undefined> {
  let url = new URL(`blobs/${digest}`, session.base)
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const answer = await get(session, { url, accept: '*/*', maxBytes: MAX_PAYLOAD_BYTES })
    if (answer.status === 404) return undefined
    const { location } = answer.headers
    if (!isRedirect(answer.status) || location === undefined) {
      refuseUnlessOk(answer, url)
      return answer.body
    }
    url = redirected(url, location)
    admit(session, url)
  }
  throw failed(session.base, `redirects more than ${MAX_REDIRECTS} times`)
}

function admit({ base, others }: Session, { origin }: URL): void {
  if (origin === base.origin || others.has(origin)) return
  if (others.size === MAX_OTHER_HOSTS)
    throw failed(base, `sends to more than ${MAX_OTHER_HOSTS} other hosts`)
  others.add(origin)
}

const isRedirect = (status: number) => [301, 302, 303, 307, 308].includes(status)

function redirected(from: URL, location: string): URL {
  if (!URL.canParse(location, from.href)) throw failed(from, 'redirects to what is no address')
  const url = new URL(location, from)
  const isHttp =
    url.protocol === 'https:' || (url.protocol === 'http:' && from.protocol === 'http:')
  if (!isHttp || url.username !== '' || url.password !== '')
    throw failed(from, `redirects to ${quote(`${url.protocol}//${url.host}`)}, which is not safe`)
  return url
}

function refuseUnlessOk({ status }: Answer, url: URL): void {
  if (status === 200) return
  if (status === 401 || status === 403) throw denied(url, `denies access (status ${status})`)
  throw failed(url, `answers with status ${status}`)
}

const failed = ({ host }: URL, what: string) =>
  new HepwrapError('HW_PULL_FAILED', `the registry ${quote(host)} ${what}`)
