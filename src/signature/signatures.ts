// Whether an image is signed by a key that the site trusts. Fails closed: what cannot be known is not signed.
//
// What must be signed is the digest that the engine shows for the image under its name (RepoDigests), because that is
// what its content was fetched by and what the policy judges. For an image of several platforms that is the index, which
// `cosign sign NAME:TAG` signs; whoever names one platform's manifest by its digest needs a signature of that
// (`cosign sign --recursive` makes them all).
//
// INVARIANTS
// - A key's yes is the outcome of verifying a signature with that key, at this use. What is kept on disk only saves asking.
// - What is kept was verified by the key that it is kept for; so whoever spoils the signatures of a registry does not
//   spoil what is kept. To take a trust back, take the key out of the configuration.
import { abortable } from '../base/abortable.js'
import type { Clock } from '../base/clock.js'
import { HepwrapError, quote } from '../base/errors.js'
import type { ImageRef } from '../plan/image-ref.js'
import { isDigest, judgeSignatures, type Elsewhere, type Signature } from './cosign.js'
import { openKeptSignatures, type KeptImage, type KeptSignatures } from './kept-signatures.js'
import { rememberUnsigned } from './lately-unsigned.js'
import type { PublicKey } from './public-key.js'
import { createRegistry, type Registry, type RegistryOptions } from './registry.js'

export interface Signatures {
  /** One of `keys` that signed this image; throws HW_IMAGE_UNSIGNED, or why its registry cannot be asked. */
  require(
    ref: ImageRef,
    /** What the image was judged by; an image that was never in a registry has none. */
    digest: string | undefined,
    keys: readonly PublicKey[],
    signal: AbortSignal,
  ): Promise<PublicKey>
}

export interface SignaturesOptions extends RegistryOptions {
  /** Of root alone; it is made if it is not there. */
  readonly directory: string
  readonly clock: Clock
  /** Told of what does not stop a run: a signature that could not be kept. */
  readonly onKeepFailed: (error: unknown) => void
}

export function createSignatures(options: SignaturesOptions): Signatures {
  const kept = openKeptSignatures(options.directory, options.clock)
  const lately = rememberUnsigned(options.clock)
  const fetchTogether = shareFetches(createRegistry(options))
  return {
    require: async (ref, digest, keys, signal) => {
      signal.throwIfAborted()
      if (digest === undefined || !isDigest(digest))
        throw unsigned(ref, 'has no digest of a registry, so nobody can have signed it')
      const image = { repository: ref.name, digest }
      const known = await findKept(kept, image, keys)
      if (known !== undefined) return known
      const question = `${ref.name}@${digest} ${keys.map(({ fingerprint }) => fingerprint).join()}`
      const missing = lately.find(question)
      if (missing !== undefined) throw unsigned(ref, missing)
      const found = await fetchTogether(ref, digest, signal)
      const verdict = await judgeSignatures(digest, found ?? [], keys)
      if (verdict.key === undefined) {
        const what = `(${digest}) ${whatWasFound(found, keys, verdict.elsewhere)}`
        lately.remember(question, what)
        throw unsigned(ref, what)
      }
      try {
        kept.keep(image, verdict.key, verdict.signature)
      } catch (error) {
        options.onKeepFailed(error)
      }
      return verdict.key
    },
  }
}

async function findKept(
  kept: KeptSignatures,
  image: KeptImage,
  keys: readonly PublicKey[],
): Promise<PublicKey | undefined> {
  for (const key of keys) {
    const signature = kept.find(image, key)
    if (signature === undefined) continue
    const verdict = await judgeSignatures(image.digest, [signature], [key])
    if (verdict.key !== key) continue
    kept.used(image, key)
    return key
  }
  return undefined
}

interface SharedFetch {
  readonly found: Promise<readonly Signature[] | undefined>
  waiters: number
  readonly abort: AbortController
}

/** One fetch for all that wait for the same; it ends with its last waiter. */
function shareFetches(registry: Registry): Registry['fetchSignatures'] {
  const fetches = new Map<string, SharedFetch>()
  const start = (key: string, ref: ImageRef, digest: string): SharedFetch => {
    const abort = new AbortController()
    const forget = () => {
      if (fetches.get(key) === started) fetches.delete(key)
    }
    // Forgotten as it is aborted: who comes before it has ended needs one of his own.
    abort.signal.addEventListener('abort', forget, { once: true })
    const found = registry.fetchSignatures(ref, digest, abort.signal).finally(forget)
    const started: SharedFetch = { found, waiters: 0, abort }
    fetches.set(key, started)
    return started
  }
  return async (ref, digest, signal) => {
    const key = `${ref.name}@${digest}`
    const shared = fetches.get(key) ?? start(key, ref, digest)
    shared.waiters++
    try {
      return await abortable(shared.found, signal)
    } finally {
      shared.waiters--
      if (shared.waiters === 0) shared.abort.abort()
    }
  }
}

function whatWasFound(
  found: readonly Signature[] | undefined,
  keys: readonly PublicKey[],
  elsewhere: Elsewhere | undefined,
): string {
  if (found === undefined || found.length === 0) return 'has no signature in its repository'
  if (elsewhere !== undefined) {
    const { key, digest } = elsewhere
    const what =
      digest === undefined ? 'not about an image' : `for another digest, ${quote(digest)}`
    return `has a signature by ${quote(key.path)}, but it is ${what}`
  }
  const signatures =
    found.length === 1 ? 'a signature, but not' : `${found.length} signatures, but none`
  return `has ${signatures} by the site's ${keys.map(({ path }) => quote(path)).join(', ')}`
}

const unsigned = (ref: ImageRef, what: string) =>
  new HepwrapError('HW_IMAGE_UNSIGNED', `image ${quote(ref.text)} ${what}`)
