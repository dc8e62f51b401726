// Cosign's signature of an image, as it lies in a registry: an image manifest whose layers are signed statements
// ("simple signing"), each with its signature in an annotation. Pure; who may push to the repository may have written
// every byte of it, so whatever is odd is left out and nothing throws. Verifying is left to Node's threads: many
// signatures must not hold up the runs of others.
//
// What is not looked at, as cosign itself with `--key` and no transparency log: `critical.identity` (the same digest is
// the same image in every repository), `optional`, certificates, Rekor bundles.
//
// Cosign 3 writes another form, unless told --new-bundle-format=false --use-signing-config=false --tlog-upload=false.
import { createHash, verify, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import type { PublicKey } from './public-key.js'

export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024
export const MAX_PAYLOAD_BYTES = 64 * 1024
/** Of what a manifest lists, the first so many are looked at. */
export const MAX_SIGNATURES = 64
const MAX_SIGNATURE_TEXT = 4096

const MEDIA_TYPE = 'application/vnd.dev.cosign.simplesigning.v1+json'
const ANNOTATION = 'dev.cosignproject.cosign/signature'
const STATEMENT_TYPE = 'cosign container image signature'
const DIGEST = /^sha256:[0-9a-f]{64}$/
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/** A layer of the signature manifest. */
export interface SignatureLayer {
  /** Of the payload, which is a blob of its own. */
  readonly digest: string
  /** In base64. */
  readonly signature: string
}

export interface Signature extends SignatureLayer {
  readonly payload: Buffer
}

export type Verdict =
  | { readonly key: PublicKey; readonly signature: Signature }
  /** `elsewhere`: what a trusted key did sign, if it was another image. */
  | { readonly key: undefined; readonly elsewhere: Elsewhere | undefined }

export interface Elsewhere {
  readonly key: PublicKey
  /** Undefined where the statement is not about an image at all. */
  readonly digest: string | undefined
}

/** Where cosign puts the signatures of a digest, like "sha256-20be….sig", in the repository of the image. */
export const signatureTag = (digest: string): string => `${digest.replace(':', '-')}.sig`

const verifyAside = promisify(verify)

export const isDigest = (text: string): boolean => DIGEST.test(text)

/** The signatures that a manifest lists, without their payloads; whatever is not one is left out. */
export function parseSignatureManifest(bytes: Buffer): readonly SignatureLayer[] {
  const layers = fieldOf(parseJson(bytes), 'layers')
  if (!Array.isArray(layers)) return []
  const found: SignatureLayer[] = []
  for (const layer of layers as readonly unknown[]) {
    const parsed = parseLayer(layer)
    if (parsed !== undefined && found.push(parsed) === MAX_SIGNATURES) break
  }
  return found
}

function parseLayer(layer: unknown): SignatureLayer | undefined {
  const digest = fieldOf(layer, 'digest')
  const size = fieldOf(layer, 'size')
  const signature = fieldOf(fieldOf(layer, 'annotations'), ANNOTATION)
  const isSound =
    fieldOf(layer, 'mediaType') === MEDIA_TYPE &&
    typeof size === 'number' &&
    size <= MAX_PAYLOAD_BYTES &&
    isLayer({ digest, signature })
  return isSound ? { digest: digest as string, signature: signature as string } : undefined
}

/** Reports whether these could be a layer's digest and signature. */
export function isLayer({ digest, signature }: Readonly<Record<string, unknown>>): boolean {
  return (
    typeof digest === 'string' &&
    isDigest(digest) &&
    typeof signature === 'string' &&
    signature !== '' &&
    signature.length <= MAX_SIGNATURE_TEXT &&
    BASE64.test(signature)
  )
}

/** Which of the keys signed this digest. */
export async function judgeSignatures(
  digest: string,
  signatures: readonly Signature[],
  keys: readonly PublicKey[],
): Promise<Verdict> {
  let elsewhere: Elsewhere | undefined
  for (const signature of signatures.slice(0, MAX_SIGNATURES)) {
    const key = isWhole(signature) ? await signerOf(signature, keys) : undefined
    if (key === undefined) continue
    const signed = signedDigest(signature.payload)
    if (signed === digest && isDigest(digest)) return { key, signature }
    elsewhere ??= { key, digest: signed }
  }
  return { key: undefined, elsewhere }
}

/** The payload is the blob that the manifest names. */
function isWhole({ digest, payload }: Signature): boolean {
  if (payload.length > MAX_PAYLOAD_BYTES) return false
  return digest === `sha256:${createHash('sha256').update(payload).digest('hex')}`
}

async function signerOf(
  { payload, signature }: Signature,
  keys: readonly PublicKey[],
): Promise<PublicKey | undefined> {
  const bytes = Buffer.from(signature, 'base64')
  for (const one of keys)
    for (const hash of one.hashes)
      if (await isBy({ key: one.key, hash }, payload, bytes)) return one
  return undefined
}

async function isBy(
  { key, hash }: { readonly key: KeyObject; readonly hash: string | null },
  payload: Buffer,
  signature: Buffer,
): Promise<boolean> {
  try {
    return await verifyAside(hash, payload, { key, dsaEncoding: 'der' }, signature)
  } catch {
    return false
  }
}

/** The image that a statement is about. Read only after its signature: up to there it is anybody's text. */
function signedDigest(payload: Buffer): string | undefined {
  const critical = fieldOf(parseJson(payload), 'critical')
  if (fieldOf(critical, 'type') !== STATEMENT_TYPE) return undefined
  const digest = fieldOf(fieldOf(critical, 'image'), 'docker-manifest-digest')
  return typeof digest === 'string' ? digest : undefined
}

/** Undefined for whatever is not JSON in UTF-8. */
export function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as unknown
  } catch {
    return undefined
  }
}

/** An own field of an object; undefined of anything else. */
export const fieldOf = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Readonly<Record<string, unknown>>)[name]
    : undefined
