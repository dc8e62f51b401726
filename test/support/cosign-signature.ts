// What `cosign sign --key` makes of an image, made with node:crypto: the statement, and its signature.
import { createHash, sign, type KeyObject } from 'node:crypto'
import type { Signature } from '../../src/signature/cosign.js'

export const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json'
export const SIMPLE_SIGNING = 'application/vnd.dev.cosign.simplesigning.v1+json'
export const SIGNATURE_ANNOTATION = 'dev.cosignproject.cosign/signature'

export const digestOf = (bytes: Buffer | string): string =>
  `sha256:${createHash('sha256').update(bytes).digest('hex')}`

/** The statement, byte for byte as cosign writes it. */
export function statement(digest: string, reference = 'localhost:5000/atlas/box'): Buffer {
  const critical = {
    identity: { 'docker-reference': reference },
    image: { 'docker-manifest-digest': digest },
    type: 'cosign container image signature',
  }
  return Buffer.from(JSON.stringify({ critical, optional: null }))
}

/** Any bytes, signed. */
export function signPayload(payload: Buffer, privateKey: KeyObject, hash?: string): Signature {
  const algorithm = privateKey.asymmetricKeyType === 'ed25519' ? null : (hash ?? 'sha256')
  const signature = sign(algorithm, payload, { key: privateKey, dsaEncoding: 'der' })
  return { digest: digestOf(payload), signature: signature.toString('base64'), payload }
}

export const signDigest = (digest: string, privateKey: KeyObject): Signature =>
  signPayload(statement(digest), privateKey)

/** The manifest that lists these signatures; its config is a blob of these bytes. */
export function signatureManifest(signatures: readonly Signature[], config = Buffer.from('{}')) {
  return {
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: {
      mediaType: 'application/vnd.oci.image.config.v1+json',
      size: config.length,
      digest: digestOf(config),
    },
    layers: signatures.map(({ digest, signature, payload }) => ({
      mediaType: SIMPLE_SIGNING,
      size: payload.length,
      digest,
      annotations: { [SIGNATURE_ANNOTATION]: signature },
    })),
  }
}
