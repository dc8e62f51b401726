// Signs an image in a registry as `cosign sign --key` does: the signature lies beside the image, under a tag made of its
// digest, and a further signature is added to those that are there.
import type { KeyObject } from 'node:crypto'
import { signatureTag, type Signature } from '../../src/signature/cosign.js'
import {
  digestOf,
  MANIFEST_TYPE,
  signatureManifest,
  SIGNATURE_ANNOTATION,
  SIMPLE_SIGNING,
  signPayload,
  statement,
} from '../support/cosign-signature.js'

export interface Place {
  /** "localhost:5000"; spoken to over http. */
  readonly registry: string
  /** "atlas/box" */
  readonly repository: string
}

export interface Signing extends Place {
  /** The image's, "sha256:…", as `docker push` tells it. */
  readonly digest: string
  readonly privateKey: KeyObject
}

/** Adds one signature to an image. */
export async function signImage({ privateKey, ...image }: Signing): Promise<Signature> {
  const { registry, repository, digest } = image
  const made = signPayload(statement(digest, `${registry}/${repository}`), privateKey)
  await putSignatures(image, [...(await listSignatures(image)), made])
  return made
}

export type SignedImage = Omit<Signing, 'privateKey'>

/** The signatures that lie beside an image. */
export async function listSignatures(image: SignedImage): Promise<readonly Signature[]> {
  // Without this the registry hides what it has: it thinks of clients that know no OCI manifests.
  const headers = { accept: MANIFEST_TYPE }
  const answer = await fetch(manifestUrl(image), { headers })
  if (answer.status === 404) return []
  const { layers } = (await expectOk(answer).json()) as ReturnType<typeof signatureManifest>
  return Promise.all(
    layers.map(async ({ digest, annotations }) => {
      const blob = expectOk(await fetch(`${base(image)}/blobs/${digest}`))
      const payload = Buffer.from(await blob.arrayBuffer())
      return { digest, signature: annotations[SIGNATURE_ANNOTATION], payload }
    }),
  )
}

/** Puts exactly these beside an image, whatever they are: what an attacker with the right to push can do. */
export async function putSignatures(
  image: SignedImage,
  signatures: readonly Signature[],
): Promise<void> {
  const config = Buffer.from(configText(signatures))
  for (const bytes of [config, ...signatures.map(({ payload }) => payload)])
    await putBlob(image, bytes)
  const manifest = signatureManifest(signatures, config)
  const headers = { 'content-type': MANIFEST_TYPE }
  const body = JSON.stringify(manifest)
  expectOk(await fetch(manifestUrl(image), { method: 'PUT', headers, body }))
}

async function putBlob(place: Place, bytes: Buffer): Promise<void> {
  const opened = expectOk(await fetch(`${base(place)}/blobs/uploads/`, { method: 'POST' }))
  const location = new URL(opened.headers.get('location') ?? '', base(place))
  location.searchParams.set('digest', digestOf(bytes))
  const headers = { 'content-type': 'application/octet-stream' }
  expectOk(await fetch(location, { method: 'PUT', headers, body: new Uint8Array(bytes) }))
}

/** An image's configuration without an image, as cosign leaves it. */
const configText = (signatures: readonly Signature[]) =>
  JSON.stringify({
    architecture: '',
    created: '0001-01-01T00:00:00Z',
    history: signatures.map(() => ({ created: '0001-01-01T00:00:00Z', comment: SIMPLE_SIGNING })),
    os: '',
    rootfs: { type: 'layers', diff_ids: signatures.map(({ digest }) => digest) },
    config: {},
  })

const base = ({ registry, repository }: Place) => `http://${registry}/v2/${repository}`

const manifestUrl = (image: SignedImage) => `${base(image)}/manifests/${signatureTag(image.digest)}`

function expectOk(answer: Response): Response {
  if (answer.ok) return answer
  throw new Error(`${answer.url}: status ${answer.status}`)
}
