import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { HepwrapError } from '../../../src/base/errors.js'
import { parseImageRef, pullName } from '../../../src/plan/image-ref.js'

const HEX = 'a'.repeat(64)
const DIGEST = `sha256:${HEX}`

describe('parseImageRef reads what docker reads', () => {
  it.each([
    ['busybox', 'docker.io/library/busybox', 'busybox', 'latest', undefined],
    ['busybox:1.36', 'docker.io/library/busybox', 'busybox', '1.36', undefined],
    ['atlas/athena', 'docker.io/atlas/athena', 'atlas/athena', 'latest', undefined],
    ['docker.io/busybox', 'docker.io/library/busybox', 'busybox', 'latest', undefined],
    ['index.docker.io/busybox', 'docker.io/library/busybox', 'busybox', 'latest', undefined],
    ['docker.io/library/busybox:1', 'docker.io/library/busybox', 'busybox', '1', undefined],
    ['library/busybox', 'docker.io/library/busybox', 'busybox', 'latest', undefined],
    ['localhost/x', 'localhost/x', 'localhost/x', 'latest', undefined],
    ['localhost', 'docker.io/library/localhost', 'localhost', 'latest', undefined],
    ['localhost:5000/x:2', 'localhost:5000/x', 'localhost:5000/x', '2', undefined],
    ['127.0.0.1:5000/a/b/c', '127.0.0.1:5000/a/b/c', '127.0.0.1:5000/a/b/c', 'latest', undefined],
    ['[::1]:5000/x', '[::1]:5000/x', '[::1]:5000/x', 'latest', undefined],
    ['Registry.Example/x', 'registry.example/x', 'registry.example/x', 'latest', undefined],
    ['registry.example:443/x', 'registry.example/x', 'registry.example/x', 'latest', undefined],
    ['registry-1.docker.io/a/b', 'docker.io/a/b', 'a/b', 'latest', undefined],
    ['a__b/c-d_e--f.g', 'docker.io/a__b/c-d_e--f.g', 'a__b/c-d_e--f.g', 'latest', undefined],
    [`busybox@${DIGEST}`, 'docker.io/library/busybox', 'busybox', undefined, DIGEST],
    [`busybox:1@${DIGEST}`, 'docker.io/library/busybox', 'busybox', '1', DIGEST],
    // A short form that would be read as another name stays long.
    ['docker.io/a.b/c', 'docker.io/a.b/c', 'docker.io/a.b/c', 'latest', undefined],
    [
      'docker.io/localhost/c',
      'docker.io/localhost/c',
      'docker.io/localhost/c',
      'latest',
      undefined,
    ],
    ['library/a/b', 'docker.io/library/a/b', 'library/a/b', 'latest', undefined],
  ])('%s', (text, name, familiar, tag, digest) => {
    expect(parseImageRef(text)).toEqual({ name, familiar, tag, digest, text })
  })

  it('keeps a short hex name a name, which the engine is never asked for in short form', () => {
    expect(pullName(parseImageRef('abcdef'))).toBe('docker.io/library/abcdef:latest')
  })

  it('lets a digest decide over a tag', () => {
    expect(pullName(parseImageRef(`busybox:1@${DIGEST}`))).toBe(
      `docker.io/library/busybox@${DIGEST}`,
    )
  })
})

describe('parseImageRef refuses', () => {
  it.each(
    [
      ['', 'nothing'],
      ['Busybox', 'capitals'],
      ['atlas/Athena', 'capitals in a path'],
      ['Registry/x', 'a registry that would be a user of Docker Hub in small letters'],
      [HEX, 'an id'],
      [DIGEST, 'an id with its algorithm'],
      ['busybox:', 'an empty tag'],
      ['busybox:.x', 'a tag that begins with a dot'],
      [`busybox:${'x'.repeat(129)}`, 'a long tag'],
      ['busybox@sha256:abc', 'a short digest'],
      [`busybox@sha256:${'A'.repeat(64)}`, 'a digest in capitals'],
      [`busybox@sha512:${'a'.repeat(128)}`, 'another algorithm'],
      [`busybox@${DIGEST}@${DIGEST}`, 'two digests'],
      ['@' + DIGEST, 'a digest alone'],
      ['/busybox', 'an absolute path'],
      ['busybox/', 'a trailing slash'],
      ['a//b', 'an empty component'],
      ['../etc', 'dots'],
      ['a/../b', 'dots inside'],
      ['-busybox', 'a leading dash'],
      ['busybox ', 'a blank'],
      ['busybox\n', 'a line feed'],
      ['busybox\0', 'a NUL'],
      ['http://busybox', 'an address'],
      ['a:b/c', 'a port that is no number'],
      ['-a.b/c', 'a registry that begins with a dash'],
      ['a'.repeat(256), 'a long name'],
      ['x'.repeat(1_000_000), 'a very long name'],
    ].map(([text, what]) => ({ text: text ?? '', what })),
  )('$what', ({ text }) => {
    expect(() => parseImageRef(text)).toThrow(expect.objectContaining({ code: 'HW_IMAGE_INVALID' }))
  })

  it('names the image and what is wrong', () => {
    expect(() => parseImageRef('Busybox')).toThrow('image "Busybox" must be in lower case')
  })
})

describe('parseImageRef on anything', () => {
  const anyText = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string({ unit: fc.constantFrom(...'aB0._-/:@[]*sha256'.split('')), maxLength: 120 }),
    fc.string({ unit: fc.constantFrom('a', '-', '.', '_'), maxLength: 300 }),
  )

  it('throws nothing but HW_IMAGE_INVALID, and what it accepts is stable', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const ref = parsed(text)
        if (ref === undefined) return
        expect(parseImageRef(ref.name).name).toBe(ref.name)
        expect(parseImageRef(ref.familiar).name).toBe(ref.name)
        expect(parseImageRef(pullName(ref)).name).toBe(ref.name)
        expect(pullName(parseImageRef(pullName(ref)))).toBe(pullName(ref))
        expect(ref.name).toMatch(/^[A-Za-z0-9.:[\]-]+\/[a-z0-9._/-]+$/)
      }),
      { numRuns: 3000 },
    )
  })

  it('reads back every name that follows the grammar', () => {
    const word = fc.stringMatching(/^[a-z0-9]{1,8}([._-][a-z0-9]{1,8})?$/)
    const path = fc.array(word, { minLength: 1, maxLength: 4 }).map((words) => words.join('/'))
    const domain = fc.constantFrom('registry.example', 'localhost:5000', 'a.b.c:1', 'docker.io')
    const tag = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}$/)
    fc.assert(
      fc.property(domain, path, tag, (registry, rest, written) => {
        const ref = parseImageRef(`${registry}/${rest}:${written}`)
        expect(ref.tag).toBe(written)
        expect(ref.name.endsWith(rest)).toBe(true)
        expect(ref.name.startsWith(`${registry}/`)).toBe(true)
      }),
    )
  })
})

function parsed(text: string) {
  try {
    return parseImageRef(text)
  } catch (error) {
    expect(error).toBeInstanceOf(HepwrapError)
    expect(error).toHaveProperty('code', 'HW_IMAGE_INVALID')
    return undefined
  }
}
