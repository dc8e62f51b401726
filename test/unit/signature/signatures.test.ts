// The answer to "is this image signed", and what is said where it is not. What is kept of it: kept-signatures.test.ts
import { generateKeyPairSync } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { signDigest, signPayload } from '../../support/cosign-signature.js'
import { eventually } from '../../world/eventually.js'
import { atlas, atlasKey, byAtlas, byCms, cmsKey, keyOf, never, serve } from './demands.js'
import { answersOf, DIGEST, MANIFEST, send, type Answers } from './fake-registry.js'

const OTHER = `sha256:${'b'.repeat(64)}`

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
    const { registry, demand, directory } = await serve(answers)
    await expect(demand(keys)).rejects.toMatchObject({
      code: 'HW_IMAGE_UNSIGNED',
      message: `image "${registry.host}/atlas/box:1" (${DIGEST}) ${found}`,
    })
    expect(readdirSync(directory)).toEqual([])
  })

  it('that is unsigned is not asked for again for ten seconds, by the same keys', async () => {
    const answers: Answers = answersOf([byCms])
    const { registry, demand, clock } = await serve(answers)
    const fetches = () => registry.lines().filter((line) => line.includes('/manifests/')).length
    const refusal = await demand().catch((error: unknown) => error)
    expect(refusal).toMatchObject({ code: 'HW_IMAGE_UNSIGNED' })
    Object.assign(answers, answersOf([byAtlas]))
    clock.advance(9999)
    await expect(demand()).rejects.toEqual(refusal)
    expect(fetches()).toBe(1)
    await expect(demand([cmsKey])).rejects.toMatchObject({ code: 'HW_IMAGE_UNSIGNED' })
    expect(fetches()).toBe(2)
    clock.advance(1)
    expect(await demand()).toBe(atlasKey)
    expect(fetches()).toBe(3)
  })

  it('whose registry could not tell is asked for again', async () => {
    const answers: Answers = { [MANIFEST]: send('', 500) }
    const { demand } = await serve(answers)
    await expect(demand()).rejects.toMatchObject({ code: 'HW_PULL_FAILED' })
    Object.assign(answers, answersOf([byAtlas]))
    expect(await demand()).toBe(atlasKey)
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
