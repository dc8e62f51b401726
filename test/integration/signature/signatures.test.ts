// Signatures with a real registry, as docker pushes the image and cosign lays its signature beside it.
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { systemClock } from '../../../src/base/clock.js'
import { parseImageRef } from '../../../src/plan/image-ref.js'
import { isInsecureRegistry } from '../../../src/signature/insecure-registries.js'
import { parsePublicKey } from '../../../src/signature/public-key.js'
import { createSignatures, type Signatures } from '../../../src/signature/signatures.js'
import { digestOf } from '../../support/cosign-signature.js'
import {
  listSignatures,
  putSignatures,
  signImage,
  type SignedImage,
} from '../../world/cosign-sign.js'
import { engine } from '../../world/traces.js'
import { as, expectSuccess, service } from '../../world/world.js'

const REGISTRY = 'localhost:5000'
const atlas = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const cms = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const keyOf = ({ publicKey }: { publicKey: KeyObject }, name: string) =>
  parsePublicKey(publicKey.export({ type: 'spki', format: 'pem' }) as string, `/keys/${name}.pub`)
const atlasKey = keyOf(atlas, 'atlas')
const cmsKey = keyOf(cms, 'cms')

let isInsecure: (host: string) => Promise<boolean>
let signatures: Signatures
let laterMs = 0
const clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + laterMs }
/** When a refusal is forgotten. */
const later = () => void (laterMs += 10_000)

beforeAll(async () => {
  isInsecure = await engineRule()
})
beforeEach(() => {
  signatures = newSignatures()
})
afterAll(() => service('start', 'registry'))

describe('an image in a registry', () => {
  it('is signed by whom its signature says, under every name that the registry has', async () => {
    const image = await push('signed')
    await signImage({ ...image, privateKey: cms.privateKey })
    await signImage({ ...image, privateKey: atlas.privateKey })
    expect(await demand(image)).toBe(atlasKey)
    expect(await demand(image, [cmsKey])).toBe(cmsKey)
    const byAddress = parseImageRef(`127.0.0.1:5000/${image.repository}@${image.digest}`)
    expect(await signatures.require(byAddress, image.digest, [atlasKey], signal())).toBe(atlasKey)
  })

  it('is unsigned without a signature, and by a foreign key', async () => {
    const image = await push('foreign')
    await expect(demand(image)).rejects.toMatchObject({
      code: 'HW_IMAGE_UNSIGNED',
      message: `image "${REGISTRY}/sig/foreign:1" (${image.digest}) has no signature in its repository`,
    })
    await signImage({ ...image, privateKey: cms.privateKey })
    later()
    await expect(demand(image)).rejects.toMatchObject({
      code: 'HW_IMAGE_UNSIGNED',
      message: expect.stringContaining('but not by the site\'s "/keys/atlas.pub"') as string,
    })
    // No refusal is kept for long: it runs ten seconds after that, if it is signed.
    await signImage({ ...image, privateKey: atlas.privateKey })
    later()
    expect(await demand(image)).toBe(atlasKey)
  })

  it('is unsigned by a signature that was moved from another image', async () => {
    const [good, evil] = [await push('good'), await push('evil')]
    await signImage({ ...good, privateKey: atlas.privateKey })
    await putSignatures(evil, await listSignatures(good))
    await expect(demand(evil)).rejects.toMatchObject({
      code: 'HW_IMAGE_UNSIGNED',
      message: expect.stringContaining(`for another digest, "${good.digest}"`) as string,
    })
  })

  it('is unsigned by a statement that was changed after it was signed', async () => {
    const [good, evil] = [await push('good2'), await push('evil2')]
    const signed = await signImage({ ...good, privateKey: atlas.privateKey })
    const payload = Buffer.from(signed.payload.toString().replace(good.digest, evil.digest))
    await putSignatures(evil, [{ ...signed, payload, digest: digestOf(payload) }])
    await expect(demand(evil)).rejects.toMatchObject({ code: 'HW_IMAGE_UNSIGNED' })
  })
})

describe('a registry that is away', () => {
  it('is not missed by an image that was verified before, by this daemon or the last one', async () => {
    const [known, unknown] = [await push('known'), await push('unknown')]
    const directory = newDirectory()
    signatures = newSignatures(directory)
    for (const image of [known, unknown])
      await signImage({ ...image, privateKey: atlas.privateKey })
    await demand(known)
    await service('kill', 'registry')
    try {
      expect(await demand(known)).toBe(atlasKey)
      signatures = newSignatures(directory)
      expect(await demand(known)).toBe(atlasKey)
      await expect(demand(known, [cmsKey])).rejects.toMatchObject({ code: 'HW_REGISTRY_DOWN' })
      await expect(demand(unknown)).rejects.toMatchObject({
        code: 'HW_REGISTRY_DOWN',
        message: expect.stringContaining(`the registry "${REGISTRY}" does not answer`) as string,
      })
    } finally {
      await service('start', 'registry')
    }
    expect(await demand(unknown)).toBe(atlasKey)
  })

  it('is told from one that wants credentials', async () => {
    await service('start', 'registry-auth')
    onTestFinished(() => service('stop', 'registry-auth'))
    const ref = parseImageRef('localhost:5001/atlas/box:1')
    const digest = digestOf('any')
    await expect(signatures.require(ref, digest, [atlasKey], signal())).rejects.toMatchObject({
      code: 'HW_REGISTRY_AUTH',
      message: 'the registry "localhost:5001" wants credentials, and hepwrap has none',
    })
  })
})

const signal = () => AbortSignal.timeout(30_000)

const demand = ({ registry, repository, digest }: SignedImage, keys = [atlasKey]) =>
  signatures.require(parseImageRef(`${registry}/${repository}:1`), digest, keys, signal())

function newDirectory(): string {
  const made = mkdtempSync(join(tmpdir(), 'signatures-'))
  onTestFinished(() => rmSync(made, { recursive: true, force: true }))
  return made
}

const newSignatures = (directory = newDirectory()) =>
  createSignatures({
    directory,
    clock,
    isInsecure,
    onKeepFailed: (error) => {
      throw error
    },
  })

/** What the real engine calls insecure. */
async function engineRule() {
  const { body } = await engine('GET', '/info')
  const { RegistryConfig } = body as {
    RegistryConfig: {
      IndexConfigs: Record<string, { Secure: boolean }>
      InsecureRegistryCIDRs: string[]
    }
  }
  const { IndexConfigs, InsecureRegistryCIDRs: insecureRanges } = RegistryConfig
  expect(insecureRanges).toContain('127.0.0.0/8')
  const isSecure = Object.fromEntries(
    Object.entries(IndexConfigs).map(([host, { Secure }]) => [host, Secure]),
  )
  return (host: string) => isInsecureRegistry(host, { isSecure, insecureRanges })
}

/** An image of its own content in the registry. */
async function push(name: string): Promise<SignedImage> {
  const repository = `sig/${name}`
  const image = `${REGISTRY}/${repository}:1`
  const docker = async (...args: string[]) =>
    expectSuccess(await as('root').run(['docker', ...args])).stdout
  await docker('create', '--name', `sig-${name}`, '--label', `sig=${name}`, 'busybox:test', 'true')
  try {
    await docker('commit', `sig-${name}`, image)
  } finally {
    await docker('rm', `sig-${name}`)
  }
  const output = await docker('push', image)
  await docker('rmi', image)
  return {
    registry: REGISTRY,
    repository,
    digest: /digest: (sha256:[0-9a-f]{64})/.exec(output)![1]!,
  }
}
