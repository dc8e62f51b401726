import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  judgeSignatures,
  MAX_PAYLOAD_BYTES,
  MAX_SIGNATURES,
  parseSignatureManifest,
  signatureTag,
  type Signature,
} from '../../../src/signature/cosign.js'
import { parsePublicKey } from '../../../src/signature/public-key.js'
import {
  digestOf,
  SIGNATURE_ANNOTATION,
  signatureManifest,
  signDigest,
  signPayload,
  statement,
} from '../../support/cosign-signature.js'

const DIGEST = `sha256:${'a'.repeat(64)}`
const OTHER = `sha256:${'b'.repeat(64)}`

const trusted = (key: KeyObject, path = '/keys/atlas.pub') =>
  parsePublicKey(key.export({ type: 'spki', format: 'pem' }) as string, path)

const atlas = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const cms = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const atlasKey = trusted(atlas.publicKey)
const cmsKey = trusted(cms.publicKey, '/keys/cms.pub')
const good = signDigest(DIGEST, atlas.privateKey)

const judge = (signatures: readonly Signature[], keys = [atlasKey], digest = DIGEST) =>
  judgeSignatures(digest, signatures, keys)
const none = { key: undefined, elsewhere: undefined }

describe('a signature is accepted', () => {
  it.each([
    ['ECDSA P-256', atlas, undefined],
    ['ECDSA P-384, SHA-256', generateKeyPairSync('ec', { namedCurve: 'P-384' }), 'sha256'],
    ['ECDSA P-384, SHA-384', generateKeyPairSync('ec', { namedCurve: 'P-384' }), 'sha384'],
    ['Ed25519', generateKeyPairSync('ed25519'), undefined],
    ['RSA PKCS #1 v1.5', generateKeyPairSync('rsa', { modulusLength: 2048 }), undefined],
  ])('by %s', async (_name, { publicKey, privateKey }, hash) => {
    const key = trusted(publicKey)
    const signature = signPayload(statement(DIGEST), privateKey, hash)
    expect(await judge([signature], [cmsKey, key])).toEqual({ key, signature })
  })

  it('wherever it stands among others, and says by which key', async () => {
    const others = [signDigest(OTHER, atlas.privateKey), signDigest(DIGEST, cms.privateKey)]
    const signature = good
    expect(await judge([...others, good])).toEqual({ key: atlasKey, signature })
    expect(await judge(others, [atlasKey, cmsKey])).toMatchObject({ key: cmsKey })
  })

  it('with an identity and claims that nobody looks at, and in any layout', async () => {
    const text = statement(DIGEST, 'example.org/another/name').toString()
    const claims = text.replace('null', '{"creator":"x","timestamp":1}').replaceAll(',', ' ,\n ')
    const signature = signPayload(Buffer.from(claims), atlas.privateKey)
    expect((await judge([signature])).key).toBe(atlasKey)
  })
})

describe('a signature is not accepted', () => {
  const payload = statement(DIGEST)
  const resigned = (text: string) => signPayload(Buffer.from(text), atlas.privateKey)
  const flipped = Buffer.from(good.signature, 'base64')
  flipped[20]! ^= 1
  const tampered = Buffer.from(payload.toString().replace('null', 'true'))
  const big = Buffer.from(payload.toString().padEnd(MAX_PAYLOAD_BYTES + 1))

  it.each<[string, Signature]>([
    ['by a key that is not trusted', signDigest(DIGEST, cms.privateKey)],
    ['of other bytes', { ...good, payload: tampered, digest: digestOf(tampered) }],
    ['whose payload is not the blob that the manifest names', { ...good, digest: OTHER }],
    ['with a bit changed', { ...good, signature: flipped.toString('base64') }],
    ['that is empty', { ...good, signature: '' }],
    ['in words', { ...good, signature: 'good' }],
    ['with another hash', signPayload(payload, atlas.privateKey, 'sha512')],
    ['of too long a statement', signPayload(big, atlas.privateKey)],
  ])('%s', async (_name, signature) => {
    expect(await judge([signature])).toEqual(none)
  })

  it.each([
    ['another digest', statement(OTHER).toString(), OTHER],
    ['the digest in capitals', statement(DIGEST.toUpperCase()).toString(), DIGEST.toUpperCase()],
    ['the digest without its algorithm', statement('a'.repeat(64)).toString(), 'a'.repeat(64)],
    ['a digest and more', statement(`${DIGEST} `).toString(), `${DIGEST} `],
    ['another type', payload.toString().replace('cosign', 'atomic'), undefined],
    ['no type', payload.toString().replace('"type"', '"kind"'), undefined],
    ['no image', payload.toString().replace('"image"', '"picture"'), undefined],
    ['the digest in a list', payload.toString().replace(`"${DIGEST}"`, `["${DIGEST}"]`), undefined],
    ['inherited fields', `{"__proto__":${payload.toString()}}`, undefined],
    ['no JSON', DIGEST, undefined],
    ['null', 'null', undefined],
  ])('for a statement of %s, and what it says is told', async (_name, text, digest) => {
    expect(await judge([resigned(text)])).toEqual({
      key: undefined,
      elsewhere: { key: atlasKey, digest },
    })
  })

  it('for bytes that are not UTF-8', async () => {
    const [before, after] = payload.toString().split('atlas')
    const bytes = Buffer.concat([Buffer.from(before!), Buffer.of(0xff), Buffer.from(after!)])
    expect(await judge([signPayload(bytes, atlas.privateKey)])).toMatchObject({ key: undefined })
  })

  it('where ECDSA is written as two numbers instead of DER', async () => {
    const how = { key: atlas.privateKey, dsaEncoding: 'ieee-p1363' } as const
    const signature = sign('sha256', payload, how).toString('base64')
    expect(await judge([{ ...good, signature }])).toEqual(none)
  })

  it('where no key is trusted, or there is no signature, or no digest is judged', async () => {
    expect(await judge([good], [])).toEqual(none)
    expect(await judge([])).toEqual(none)
    const empty = signPayload(statement(''), atlas.privateKey)
    expect(await judge([empty], [atlasKey], '')).toMatchObject({ key: undefined })
  })

  it(`behind ${MAX_SIGNATURES} others`, async () => {
    const others = Array.from({ length: MAX_SIGNATURES }, () => signDigest(OTHER, cms.privateKey))
    expect(await judge([...others, good])).toEqual(none)
    expect((await judge([...others.slice(1), good])).key).toBe(atlasKey)
  })
})

describe('the manifest', () => {
  const manifest = signatureManifest([good])
  const [layer] = manifest.layers
  const parse = (value: unknown) => parseSignatureManifest(Buffer.from(JSON.stringify(value)))
  const { digest, signature } = good

  it('lists its signatures', () => {
    expect(parse(manifest)).toEqual([{ digest, signature }])
    expect(signatureTag(digest)).toBe(`sha256-${digest.slice(7)}.sig`)
  })

  it.each<[string, unknown]>([
    ['of another media type', { ...layer, mediaType: 'application/vnd.oci.image.layer.v1.tar' }],
    ['without a digest', { ...layer, digest: undefined }],
    ['with a digest that is a path', { ...layer, digest: '../../../etc/passwd' }],
    ['with a digest of another algorithm', { ...layer, digest: `sha512:${'a'.repeat(128)}` }],
    ['without a size', { ...layer, size: undefined }],
    ['with a size in words', { ...layer, size: '10' }],
    ['too large', { ...layer, size: MAX_PAYLOAD_BYTES + 1 }],
    ['without annotations', { ...layer, annotations: undefined }],
    ['with a number for a signature', { ...layer, annotations: { [SIGNATURE_ANNOTATION]: 5 } }],
    ['with an empty signature', { ...layer, annotations: { [SIGNATURE_ANNOTATION]: '' } }],
    ['with words for a signature', { ...layer, annotations: { [SIGNATURE_ANNOTATION]: 'a b' } }],
    [
      'with a signature of some length',
      { ...layer, annotations: { [SIGNATURE_ANNOTATION]: 'A'.repeat(4100) } },
    ],
    ['null', null],
    ['a list', []],
    ['a word', 'layer'],
  ])('leaves out a layer %s, and keeps the others', (_name, odd) => {
    expect(parse({ ...manifest, layers: [odd, layer, odd] })).toEqual([{ digest, signature }])
  })

  it.each<[string, unknown]>([
    ['no layers', {}],
    ['layers that are no list', { layers: { 0: layer } }],
    ['a list', [layer]],
    ['null', null],
  ])('with %s has no signatures', (_name, value) => {
    expect(parse(value)).toEqual([])
  })

  it('is read as far as its first signatures', () => {
    const layers = Array.from({ length: 10_000 }, () => layer)
    expect(parse({ ...manifest, layers })).toHaveLength(MAX_SIGNATURES)
  })

  it('is anybody’s text: nothing that it holds throws', () => {
    const odd = fc.oneof(fc.jsonValue(), fc.constant(layer), fc.object())
    fc.assert(
      fc.property(fc.array(odd), fc.uint8Array(), (layers, bytes) => {
        parse({ layers })
        parseSignatureManifest(Buffer.from(bytes))
      }),
    )
    expect(parseSignatureManifest(Buffer.from('['.repeat(1_000_000)))).toEqual([])
  })

  it('is anybody’s text: no payload and no signature throws', async () => {
    const text = fc.string({ maxLength: 50 })
    await fc.assert(
      fc.asyncProperty(text, text, fc.uint8Array(), async (one, another, bytes) => {
        const payload = Buffer.from(bytes)
        expect((await judge([{ digest: one, signature: another, payload }])).key).toBeUndefined()
        const whole = { digest: digestOf(payload), signature: another, payload }
        expect((await judge([whole])).key).toBeUndefined()
        expect((await judge([signPayload(payload, atlas.privateKey)])).key).toBeUndefined()
      }),
    )
  })
})
