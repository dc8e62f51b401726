// What was good once is kept on disk, and never taken on trust.
import { readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openKeptSignatures, type KeptSignatures } from '../../../src/signature/kept-signatures.js'
import { createSignatures } from '../../../src/signature/signatures.js'
import { signDigest, statement } from '../../support/cosign-signature.js'
import {
  atlas,
  atlasKey,
  byAtlas,
  byCms,
  cmsKey,
  never,
  newDirectory,
  serve,
  stoppedClock,
} from './demands.js'
import { answersOf, DIGEST, MANIFEST, send, type Answers } from './fake-registry.js'

const OTHER = `sha256:${'b'.repeat(64)}`

describe('what was good once', () => {
  it('is kept, for root alone, and the registry is not asked again', async () => {
    const { registry, demand, directory, onlyFile } = await serve(answersOf([byCms, byAtlas]))
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
    const { registry, demand, directory } = await serve(answersOf([byAtlas]))
    await demand()
    registry.stop()
    writeFileSync(join(directory, '.0123456789abcdef'), 'half')
    const signatures = createSignatures({
      directory,
      clock: stoppedClock(),
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

  const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((repository) => ({ repository, digest: DIGEST }))
  const images = [a!, b!, c!, d!]
  const found = (store: KeptSignatures) =>
    images.filter((image) => store.find(image, atlasKey)).map(({ repository }) => repository)

  it('is at most so much; what was used least recently goes', () => {
    const store = openKeptSignatures(join(newDirectory(), 'signatures'), stoppedClock(), 3)
    for (const image of [a!, b!, c!]) store.keep(image, atlasKey, byAtlas)
    store.used(a!, atlasKey)
    store.keep(d!, atlasKey, byAtlas)
    expect(found(store)).toEqual(['a', 'c', 'd'])
  })

  it('is known by its use to the next daemon', () => {
    const directory = join(newDirectory(), 'signatures')
    const clock = stoppedClock()
    const store = openKeptSignatures(directory, clock)
    store.keep(a!, atlasKey, byAtlas)
    const [name] = readdirSync(directory)
    store.keep(b!, atlasKey, byAtlas)
    store.keep(c!, atlasKey, byAtlas)
    const usedAt = () => Math.round(statSync(join(directory, name!)).mtimeMs)
    const keptAt = usedAt()
    clock.advance(3_599_999)
    store.used(a!, atlasKey)
    expect(usedAt()).toBe(keptAt) // written at most once an hour
    clock.advance(1)
    store.used(a!, atlasKey)
    expect(usedAt()).toBe(clock.nowMs())
    const next = openKeptSignatures(directory, clock, 2)
    next.keep(d!, atlasKey, byAtlas)
    expect(found(next)).toEqual(['a', 'd'])
  })

  it('is used when it was verified', async () => {
    const { demand, onlyFile, clock } = await serve(answersOf([byAtlas]))
    await demand()
    clock.advance(7_200_000)
    await demand()
    expect(Math.round(statSync(onlyFile()).mtimeMs)).toBe(clock.nowMs())
  })

  it('that cannot be kept stops nobody', async () => {
    const { demand, directory, failures } = await serve(answersOf([byAtlas]))
    rmSync(directory, { recursive: true })
    expect(await demand()).toBe(atlasKey)
    expect(failures).toMatchObject([{ code: 'ENOENT' }])
  })
})

function kept({ digest, signature, payload }: typeof byAtlas) {
  return { digest, signature, payload: payload.toString('base64') }
}
