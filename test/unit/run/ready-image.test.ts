// What an image's content is judged by: each digest that it has under its name, until one may run.
import { describe, expect, it } from 'vitest'
import { HepwrapError } from '../../../src/base/errors.js'
import { parseImageRef } from '../../../src/plan/image-ref.js'
import { judgeContent } from '../../../src/run/ready-image.js'
import type { RunDeps } from '../../../src/run/run-deps.js'
import { siteOf } from '../plan/plan-fixture.js'
import { atlasKey } from '../signature/demands.js'
import { someImage } from './fakes.js'

const INDEX = `sha256:${'b'.repeat(64)}`
const PLATFORM = `sha256:${'a'.repeat(64)}`
const OTHER = `sha256:${'c'.repeat(64)}`
const TWO = someImage({
  digest: PLATFORM,
  namedDigests: [PLATFORM, INDEX],
  digests: [PLATFORM, INDEX],
})
const KEY = '/keys/atlas.pub'
const SIGNED = `allow = ["r.io/a"]\nrequire_signature = ["${KEY}"]`

/** `signed`: what a key has signed; "down": of the first digest no registry can be asked. */
async function judged(images: string, signed: string, image = TWO) {
  const asked: (string | undefined)[] = []
  const signatures: Pick<RunDeps['signatures'], 'require'> = {
    require: (_ref, digest) => {
      asked.push(digest)
      if (digest === signed) return Promise.resolve(atlasKey)
      const code = signed === 'down' ? 'HW_REGISTRY_DOWN' : 'HW_IMAGE_UNSIGNED'
      return Promise.reject(new HepwrapError(code, `nobody has signed ${digest ?? 'it'}`))
    },
  }
  const result = await judgeContent(
    {
      ref: parseImageRef('r.io/a:1'),
      image,
      site: siteOf(`[images]\n${images}`),
      signal: new AbortController().signal,
    },
    {
      engineFacts: () => Promise.resolve({ platform: 'linux/amd64' } as never),
      publicKeys: new Map([[KEY, atlasKey]]),
      signatures: signatures,
    },
  )
  const refusal = result.verdicts.find((verdict) => verdict.refusal !== undefined)?.refusal
  return { digest: result.image.digest, code: refusal?.code, text: refusal?.text, asked }
}

describe('content with several digests under its name', () => {
  it.each([PLATFORM, INDEX])(
    'may run by whichever is allowed, and is recorded by it: %s',
    async (one) => {
      expect(await judged(`allow = ["r.io/a@${one}"]`, '')).toMatchObject({
        digest: one,
        code: undefined,
      })
    },
  )

  it.each([PLATFORM, INDEX])(
    'may run by whichever is signed, and is recorded by it: %s',
    async (one) => {
      expect(await judged(SIGNED, one)).toMatchObject({ digest: one, code: undefined })
    },
  )

  it('is not asked for a signature of a digest that is not allowed', async () => {
    const images = SIGNED.replace('r.io/a', `r.io/a@${PLATFORM}`)
    const { code, asked } = await judged(images, INDEX)
    expect({ code, asked }).toEqual({ code: 'HW_IMAGE_UNSIGNED', asked: [PLATFORM] })
  })

  it('is refused where none will do, in the words about the first', async () => {
    expect(await judged(`allow = ["r.io/a@${OTHER}"]`, '')).toMatchObject({
      digest: PLATFORM,
      code: 'HW_IMAGE_REFUSED',
      text: expect.stringContaining(PLATFORM) as string,
    })
    const unsigned = await judged(SIGNED, OTHER)
    expect(unsigned).toMatchObject({ code: 'HW_IMAGE_UNSIGNED', asked: [PLATFORM, INDEX] })
    expect(unsigned.text).toContain(PLATFORM)
  })

  it('is refused where one of them is denied, whichever it is', async () => {
    for (const one of [PLATFORM, INDEX])
      expect((await judged(`allow = ["*"]\ndeny = ["*@${one}"]`, '')).code).toBe('HW_IMAGE_REFUSED')
  })

  it('fails with the registry, if it needs one', async () => {
    await expect(judged(SIGNED, 'down')).rejects.toMatchObject({ code: 'HW_REGISTRY_DOWN' })
  })
})

it('a local image is judged as one without a digest', async () => {
  const local = someImage()
  expect(await judged('allow = ["r.io/a"]', '', local)).toMatchObject({
    digest: undefined,
    code: undefined,
  })
  expect((await judged(`allow = ["r.io/a@${INDEX}"]`, '', local)).code).toBe('HW_IMAGE_REFUSED')
})
