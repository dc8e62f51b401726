// A registry that says what the test tells it to say, on the loopback interface; hostile where the test is.
import { generateKeyPairSync } from 'node:crypto'
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type ServerResponse,
} from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'
import { parseImageRef } from '../../../src/plan/image-ref.js'
import { signatureTag, type Signature } from '../../../src/signature/cosign.js'
import { createRegistry, type RegistryOptions } from '../../../src/signature/registry.js'
import { signatureManifest, signDigest } from '../../support/cosign-signature.js'
import type { SelfSigned } from '../../support/self-signed.js'

export const DIGEST = `sha256:${'a'.repeat(64)}`
export const MANIFEST = `/v2/atlas/box/manifests/${signatureTag(DIGEST)}`

export interface FakeRegistry {
  /** "127.0.0.1:40123" */
  readonly host: string
  readonly ref: ReturnType<typeof parseImageRef>
  /** What it was asked, like "GET /v2/…", and by which authorization. */
  readonly asked: { line: string; authorization: string | undefined }[]
  readonly lines: () => string[]
  stop(): void
}

export type Answers = Record<string, (response: ServerResponse, request: IncomingMessage) => void>

/** Serves the answers by path (without its query); 404 for any other. */
export async function startRegistry(answers: Answers, tls?: SelfSigned): Promise<FakeRegistry> {
  const asked: FakeRegistry['asked'] = []
  const listener: RequestListener = (request, response) => {
    const { method = '', url = '', headers } = request
    asked.push({ line: `${method} ${url}`, authorization: headers.authorization })
    const answer = answers[url.replace(/\?.*/, '')]
    if (answer === undefined) response.writeHead(404).end()
    else answer(response, request)
  }
  const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const stop = () => {
    server.closeAllConnections()
    server.close()
  }
  onTestFinished(stop)
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  const lines = () => asked.map(({ line }) => line)
  return { host, ref: parseImageRef(`${host}/atlas/box:1`), asked, lines, stop }
}

/** Manifest and payloads of these signatures, as a sound registry gives them. */
export function answersOf(signatures: readonly Signature[]): Answers {
  const blobs = signatures.map(({ digest, payload }) => [blobPath(digest), send(payload)] as const)
  return {
    [MANIFEST]: send(JSON.stringify(signatureManifest(signatures))),
    ...Object.fromEntries(blobs),
  }
}

export const blobPath = (digest: string) => `/v2/atlas/box/blobs/${digest}`

export const send =
  (body: string | Buffer, status = 200, headers: Record<string, string> = {}) =>
  (response: ServerResponse) =>
    void response.writeHead(status, headers).end(body)

export const redirect = (location: string, status = 307) => send('', status, { location })

/** A signature, and what a sound registry answers with it. */
export const signature = signDigest(
  DIGEST,
  generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
)
export const sound = answersOf([signature])

/** Fetches what lies beside DIGEST, from a registry that may be asked in any way. */
export const fetchOf = (
  { ref }: Pick<FakeRegistry, 'ref'>,
  options: Partial<RegistryOptions> = {},
  signal = new AbortController().signal,
) =>
  createRegistry({
    isInsecure: async () => true,
    certsDirectory: '/nowhere',
    ...options,
  }).fetchSignatures(ref, DIGEST, signal)
