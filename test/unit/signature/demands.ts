// A demand for a signature, of a registry that the test has written, and the directory in which the good ones are kept.
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { Clock } from '../../../src/base/clock.js'
import { parsePublicKey } from '../../../src/signature/public-key.js'
import { createSignatures, type SignaturesOptions } from '../../../src/signature/signatures.js'
import { signDigest } from '../../support/cosign-signature.js'
import { DIGEST, startRegistry, type Answers } from './fake-registry.js'

export const never = () => new AbortController().signal

export const keyOf = ({ publicKey }: { publicKey: KeyObject }, name: string) =>
  parsePublicKey(publicKey.export({ type: 'spki', format: 'pem' }) as string, `/keys/${name}.pub`)
export const atlas = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const cms = generateKeyPairSync('ed25519')
export const atlasKey = keyOf(atlas, 'atlas')
export const cmsKey = keyOf(cms, 'cms')
export const byAtlas = signDigest(DIGEST, atlas.privateKey)
export const byCms = signDigest(DIGEST, cms.privateKey)

/** Stands still until it is told to go on. */
export function stoppedClock(): Clock & { advance(ms: number): void } {
  let passedMs = 0
  const startMs = Date.now()
  return {
    nowMs: () => startMs + passedMs,
    monotonicMs: () => passedMs,
    advance: (ms) => void (passedMs += ms),
  }
}

export function newDirectory(): string {
  const made = mkdtempSync(join(tmpdir(), 'signatures-'))
  onTestFinished(() => rmSync(made, { recursive: true, force: true }))
  return made
}

export async function serve(answers: Answers, options: Partial<SignaturesOptions> = {}) {
  const registry = await startRegistry(answers)
  const directory = join(newDirectory(), 'signatures')
  const failures: unknown[] = []
  const clock = stoppedClock()
  const signatures = createSignatures({
    directory,
    clock,
    isInsecure: async () => true,
    onKeepFailed: (error) => failures.push(error),
    certsDirectory: '/nowhere',
    ...options,
  })
  const demand = (keys = [atlasKey], digest: string | undefined = DIGEST, signal = never()) =>
    signatures.require(registry.ref, digest, keys, signal)
  const onlyFile = () => join(directory, readdirSync(directory)[0] ?? 'none')
  return { registry, signatures, demand, directory, onlyFile, failures, clock }
}
