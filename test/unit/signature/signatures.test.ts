// The answer to "is this image signed": what is said, what is kept, and what is never taken on trust.
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { openKeptSignatures } from '../../../src/signature/kept-signatures.js'
import { parsePublicKey } from '../../../src/signature/public-key.js'
import { createSignatures, type SignaturesOptions } from '../../../src/signature/signatures.js'
import { signDigest, signPayload, statement } from '../../support/cosign-signature.js'
import { eventually } from '../../world/eventually.js'
import { answersOf, DIGEST, MANIFEST, send, startRegistry, type Answers } from './fake-registry.js'

const OTHER = `sha256:${'b'.repeat(64)}`
const never = () => new AbortController().signal

const keyOf = ({ publicKey }: { publicKey: KeyObject }, name: string) =>
  parsePublicKey(publicKey.export({ type: 'spki', format: 'pem' }) as string, `/keys/${name}.pub`)
const atlas = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const cms = generateKeyPairSync('ed25519')
const atlasKey = keyOf(atlas, 'atlas')
const cmsKey = keyOf(cms, 'cms')
const byAtlas = signDigest(DIGEST, atlas.privateKey)
const byCms = signDigest(DIGEST, cms.privateKey)

let directory: string
const failures: unknown[] = []
beforeEach(() => {
  failures.length = 0
  directory = join(newDirectory(), 'signatures')
})

function newDirectory(): string {
  const made = mkdtempSync(join(tmpdir(), 'signatures-'))
  onTestFinished(() => rmSync(made, { recursive: true, force: true }))
  return made
}

async function serve(answers: Answers, options: Partial<SignaturesOptions> = {}) {
  const registry = await startRegistry(answers)
  const signatures = createSignatures({
    directory,
    isInsecure: async () => true,
    onKeepFailed: (error) => failures.push(error),
    certsDirectory: '/nowhere',
    ...options,
  })
  const demand = (keys = [atlasKey], digest: string | undefined = DIGEST, signal = never()) =>
    signatures.require(registry.ref, digest, keys, signal)
  const onlyFile = () => join(directory, readdirSync(directory)[0] ?? 'none')
  return { registry, signatures, demand, onlyFile }
}

describe('an image', () => {
  it('is signed by the key that signed it', async () => {
    const { demand } = await serve(answersOf([byCms, byAtlas]))
    expect(await demand()).toBe(atlasKey)
    expect(await demand([cmsKey])).toBe(cmsKey)
    expect(await demand([cmsKey, atlasKey])).toBe(cmsKey)
  })

  const forOther = signDigest(OTHER, atlas.privateKey)
  const aboutNothing = signPayload(Buffer.from('{}'), atlas.privateKey)
  it.each([
    ['nothing', {}, [atlasKey], 'has no signature in its repository'],
    ['an empty list', answersOf([]), [atlasKey], 'has no signature in its repository'],
    [
      'no manifest',
      { [MANIFEST]: send('<html>') },
      [atlasKey],
      'has no signature in its repository',
    ],
    [
      'a foreign one',
      answersOf([byCms]),
      [atlasKey],
      'has a signature, but not by the site\'s "/keys/atlas.pub"',
    ],
    [
      'foreign ones',
      answersOf([byCms, byCms]),
      [atlasKey, keyOf(generateKeyPairSync('ed25519'), 'lhcb')],
      'has 2 signatures, but none by the site\'s "/keys/atlas.pub", "/keys/lhcb.pub"',
    ],
    [
      'one of another image',
      answersOf([byCms, forOther]),
      [atlasKey],
      `has a signature by "/keys/atlas.pub", but it is for another digest, "${OTHER}"`,
    ],
    [
      'one of something else',
      answersOf([aboutNothing]),
      [atlasKey],
      'has a signature by "/keys/atlas.pub", but it is not about an image',
    ],
  ])('with %s is unsigned, and that is said', async (_name, answers, keys, found) => {
    const { registry, demand } = await serve(answers)
    await expect(demand(keys)).rejects.toMatchObject({
      code: 'HW_IMAGE_UNSIGNED',
      message: `image "${registry.host}/atlas/box:1" (${DIGEST}) ${found}`,
    })
    expect(readdirSync(directory)).toEqual([])
  })

  it('that no key is trusted for is unsigned, whatever was kept', async () => {
    const { demand } = await serve(answersOf([byAtlas]))
    await demand()
    await expect(demand([])).rejects.toMatchObject({ code: 'HW_IMAGE_UNSIGNED' })
  })

  it.each([undefined, '', 'sha256:short', DIGEST.toUpperCase()])(
    'of digest %s is unsigned, and nobody is asked',
    async (digest) => {
      const { registry, signatures } = await serve(answersOf([byAtlas]))
      await expect(
        signatures.require(registry.ref, digest, [atlasKey], never()),
      ).rejects.toMatchObject({ code: 'HW_IMAGE_UNSIGNED' })
      expect(registry.asked).toEqual([])
    },
  )
})

describe('what was good once', () => {
  it('is kept, for root alone, and the registry is not asked again', async () => {
    const { registry, demand, onlyFile } = await serve(answersOf([byCms, byAtlas]))
    await demand()
    const asked = registry.asked.length
    registry.stop()
    expect(await demand()).toBe(atlasKey)
    expect(await demand([cmsKey, atlasKey])).toBe(atlasKey)
    expect(registry.asked).toHaveLength(asked)
    expect(readdirSync(directory)).toHaveLength(1)
    expect(statSync(directory).mode & 0o777).toBe(0o700)
    expect(statSync(onlyFile()).mode & 0o777).toBe(0o600)
  })

  it('is known to the next daemon, which removes what the last one left half done', async () => {
    const { registry, demand } = await serve(answersOf([byAtlas]))
    await demand()
    registry.stop()
    writeFileSync(join(directory, '.0123456789abcdef'), 'half')
    const signatures = createSignatures({
      directory,
      isInsecure: async () => true,
      onKeepFailed: () => undefined,
    })
    expect(await signatures.require(registry.ref, DIGEST, [atlasKey], never())).toBe(atlasKey)
    expect(readdirSync(directory)).toHaveLength(1)
  })

  it('is good for its key, its digest and its repository alone', async () => {
    const { registry, signatures, demand } = await serve(answersOf([byAtlas]))
    await demand()
    registry.stop()
    const down = { code: 'HW_REGISTRY_DOWN' }
    await expect(demand([cmsKey])).rejects.toMatchObject(down)
    await expect(demand([atlasKey], OTHER)).rejects.toMatchObject(down)
    const other = { ...registry.ref, name: `${registry.host}/cms/box` }
    await expect(signatures.require(other, DIGEST, [atlasKey], never())).rejects.toMatchObject(down)
  })

  it('is kept for each key', async () => {
    const { registry, demand } = await serve(answersOf([byCms, byAtlas]))
    await demand([atlasKey])
    await demand([cmsKey])
    registry.stop()
    expect(await Promise.all([demand([atlasKey]), demand([cmsKey])])).toEqual([atlasKey, cmsKey])
  })

  const file = (fields: Record<string, unknown>) => {
    const { digest, signature, payload } = byAtlas
    return JSON.stringify({ digest, signature, payload: payload.toString('base64'), ...fields })
  }
  it.each([
    ['nothing', ''],
    ['words', 'signed, believe me'],
    ['null', 'null'],
    ['another payload', file({ payload: statement(OTHER).toString('base64') })],
    ['a signature by another', file({ signature: byCms.signature })],
    ['no signature', file({ signature: undefined })],
    ['numbers', file({ digest: 1, signature: 2, payload: 3 })],
    ['a signature of another image', file(kept(signDigest(OTHER, atlas.privateKey)))],
    ['too much', file({ x: 'x'.repeat(200_000) })],
  ])('is verified at every use: %s on the disk is asked for anew', async (_name, text) => {
    const { registry, demand, onlyFile } = await serve(answersOf([byAtlas]))
    await demand()
    const asked = registry.asked.length
    writeFileSync(onlyFile(), text)
    expect(await demand()).toBe(atlasKey)
    expect(registry.asked).toHaveLength(2 * asked)
    expect(readFileSync(onlyFile(), 'utf8')).toBe(file({}))
    writeFileSync(onlyFile(), text)
    registry.stop()
    await expect(demand()).rejects.toMatchObject({ code: 'HW_REGISTRY_DOWN' })
  })

  it('is not read through a link, and a link is replaced', async () => {
    const { demand, onlyFile } = await serve(answersOf([byAtlas]))
    await demand()
    const target = join(newDirectory(), 'target')
    writeFileSync(target, readFileSync(onlyFile()))
    const path = onlyFile()
    rmSync(path)
    symlinkSync(target, path)
    await demand()
    expect(statSync(path).ino).not.toBe(statSync(target).ino)
  })

  it('stays when the registry’s signatures are spoilt', async () => {
    const answers: Answers = answersOf([byAtlas])
    const { demand } = await serve(answers)
    await demand()
    answers[MANIFEST] = send('{"layers":[]}')
    await expect(demand([cmsKey])).rejects.toMatchObject({ code: 'HW_IMAGE_UNSIGNED' })
    expect(await demand()).toBe(atlasKey)
  })

  it('is at most so much; the oldest goes', () => {
    const store = openKeptSignatures(directory, 3)
    const images = ['a', 'b', 'c', 'd'].map((name) => ({ repository: name, digest: DIGEST }))
    for (const [index, image] of images.entries()) {
      store.keep(image, atlasKey, byAtlas)
      for (const name of readdirSync(directory).slice(0, index === 0 ? 1 : 0))
        utimesSync(join(directory, name), 1, 1)
    }
    expect(images.map((image) => store.find(image, atlasKey) !== undefined)).toEqual([
      false,
      true,
      true,
      true,
    ])
  })

  it('that cannot be kept stops nobody', async () => {
    const { demand } = await serve(answersOf([byAtlas]))
    rmSync(directory, { recursive: true })
    expect(await demand()).toBe(atlasKey)
    expect(failures).toMatchObject([{ code: 'ENOENT' }])
  })
})

describe('many runs of one image', () => {
  it('share one fetch', async () => {
    const { registry, demand } = await serve(answersOf([byCms, byAtlas]))
    const wishes = Array.from({ length: 20 }, (_, index) =>
      demand([[atlasKey, cmsKey][index % 2]!]),
    )
    expect(new Set(await Promise.all(wishes))).toEqual(new Set([atlasKey, cmsKey]))
    expect(registry.lines().filter((line) => line.includes('/manifests/'))).toHaveLength(1)
  })

  it('may leave it one by one; the last one ends it, and the next one begins anew', async () => {
    let open = 0
    const answers: Answers = {
      ...answersOf([byAtlas]),
      [MANIFEST]: (response) => {
        open++
        response.on('close', () => open--)
      },
    }
    const { registry, demand } = await serve(answers)
    const [first, second] = [new AbortController(), new AbortController()]
    const waits = [first, second].map(({ signal }) => demand([atlasKey], DIGEST, signal))
    const settled = Promise.allSettled(waits)
    await eventually(() => open === 1)
    first.abort(new Error('first left'))
    await expect(waits[0]).rejects.toThrow('first left')
    expect(open).toBe(1)
    second.abort(new Error('second left'))
    await expect(waits[1]).rejects.toThrow('second left')
    await eventually(() => open === 0)
    await settled
    Object.assign(answers, answersOf([byAtlas]))
    expect(await demand()).toBe(atlasKey)
    expect(registry.lines().filter((line) => line.includes('/manifests/'))).toHaveLength(2)
  })

  it('that have ended ask nobody', async () => {
    const { registry, demand } = await serve(answersOf([byAtlas]))
    await expect(demand([atlasKey], DIGEST, AbortSignal.abort(new Error('ended')))).rejects.toThrow(
      'ended',
    )
    expect(registry.asked).toEqual([])
  })
})

function kept({ digest, signature, payload }: typeof byAtlas) {
  return { digest, signature, payload: payload.toString('base64') }
}
