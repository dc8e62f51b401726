import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseImageRef } from '../../../src/plan/image-ref.js'
import { matchesGlob } from '../../../src/base/glob.js'
import { judgeImage, judgeImageName } from '../../../src/policy/image-list.js'
import { siteOf } from '../plan/plan-fixture.js'

const A = `sha256:${'a'.repeat(64)}`
const B = `sha256:${'b'.repeat(64)}`

const site = (...allow: string[]) => siteOf(`[images]\nallow = ${JSON.stringify(allow)}`)
const resolved = (digest: string | undefined) => ({
  digest,
  digests: digest === undefined ? [] : [digest],
})
/** Before the pull and after it, where the image has resolved to `digest`. */
const answers = (entries: string[], image: string, digest: string | undefined = B) => {
  const ref = parseImageRef(image)
  const law = site(...entries)
  return {
    before: judgeImageName(ref, law).refusal === undefined,
    after: judgeImage(ref, resolved(digest), law).refusal === undefined,
  }
}
const yes = { before: true, after: true }
const no = { before: false, after: false }
const moved = { before: true, after: false }

describe('an entry allows', () => {
  it.each([
    [['busybox'], 'busybox'],
    [['busybox'], 'busybox:1.36'],
    [['busybox'], 'docker.io/library/busybox'],
    [['busybox'], 'index.docker.io/busybox:x'],
    [['docker.io/library/busybox'], 'busybox'],
    [['docker.io/busybox'], 'library/busybox'],
    [['busybox'], `busybox@${A}`],
    [['busybox'], `busybox:1@${A}`],
    [['busybox:1.36'], 'busybox:1.36'],
    [['busybox:latest'], 'busybox'],
    [['debian:1*'], 'debian:12'],
    [['debian:1?'], 'debian:12'],
    [['debian*'], 'debian-slim'],
    [['atlas/*'], 'atlas/athena:24'],
    [['a_b/*'], 'docker.io/a_b/c'],
    [['registry.example:5000/atlas/*'], 'registry.example:5000/atlas/a/b:1'],
    [['registry.example/x'], 'registry.example/x'],
    [['*.example.org/*'], 'a.example.org/x/y'],
    [['*/atlas/x'], 'any.net:1/atlas/x'],
    [['docker.io/*'], 'busybox'],
    [['docker.io/*'], 'atlas/athena'],
    [['*'], 'any.net/x:1'],
    [['localhost/*'], 'localhost/x'],
    // One registry by any of its names.
    [['registry.example/x'], 'Registry.example/x'],
    [['Registry.example:443/x'], 'registry.example/x'],
    [['docker.io/a/b'], 'registry-1.docker.io/a/b'],
    [['nothing', 'busybox'], 'busybox'],
  ])('%j: %s', (entries, image) => expect(answers(entries, image)).toEqual(yes))
})

describe('no entry allows', () => {
  it.each([
    [[], 'busybox'],
    [['busybox'], 'busybox2'],
    [['busybox'], 'evil/busybox'],
    [['busybox'], 'evil.net/busybox'],
    [['busybox'], 'evil.net/library/busybox'],
    [['busybox'], 'localhost/library/busybox'],
    [['busybox:1.36'], 'busybox'],
    [['busybox:1.36'], 'busybox:1.360'],
    [['debian:1*'], 'debian:21'],
    [['debian:1?'], 'debian:1'],
    [['atlas/*'], 'evil.net/atlas/x'],
    [['atlas/*'], 'atlasx/y'],
    [['registry.example/atlas/*'], 'registry.example:5000/atlas/x'],
    [['registry.example:5000/*'], 'registry.example/x'],
    // A star in the registry stays in the registry: the path may not play one.
    [['*.example.org/*'], 'evil.net/x.example.org/y'],
    [['*.example.org/atlas/*'], 'evil.net/a.example.org/atlas/x'],
    [['registry.*/x'], 'busybox'],
    [['de*'], 'de.evil.net/x'],
    [['de*'], 'atlas/debian'],
    [['library/*'], 'evil.net/library/x'],
    // A digest overrules the tag beside it, which then proves nothing.
    [['busybox:1.36'], `busybox:1.36@${A}`],
    [['busybox:*'], `busybox@${A}`],
    [[`busybox@${A}`], 'evil/busybox'],
    [[`busybox@${A}`], `busybox@${B}`],
  ])('%j: %s', (entries, image) => expect(answers(entries, image)).toEqual(no))
})

describe('an entry with a digest', () => {
  it('allows the content by whichever tag', () => {
    for (const image of ['busybox', 'busybox:1.36', `busybox@${A}`, `busybox:1@${A}`])
      expect(answers([`busybox@${A}`], image, A)).toEqual(yes)
  })

  it('refuses a tag that has moved, once the digest is known', () => {
    expect(answers([`busybox@${A}`], 'busybox:1.36', B)).toEqual(moved)
  })

  it('refuses an image without a digest', () => {
    const ref = parseImageRef('busybox')
    const local = resolved(undefined)
    expect(judgeImage(ref, local, site(`busybox@${A}`)).refusal).toBeDefined()
    expect(judgeImage(ref, local, site('busybox')).refusal).toBeUndefined()
  })

  it('may stand beside others', () => {
    expect(answers([`busybox@${A}`, `busybox@${B}`], 'busybox', B)).toEqual(yes)
    expect(answers([`debian*@${B}`], 'debian:12', B)).toEqual(yes)
  })
})

it('never allows after the pull what it refused before it', () => {
  const word = fc.constantFrom('busybox', 'a/b', 'r.io/a', 'r.io:5/a/b', '*', '*.io/*', 'a/*', 'b*')
  const suffix = fc.constantFrom('', ':1', ':latest', ':*', `@${A}`, `@${B}`)
  const entry = fc.tuple(word, suffix).map((parts) => parts.join(''))
  const image = entry.filter((text) => !text.includes('*'))
  fc.assert(
    fc.property(
      fc.array(entry, { maxLength: 4 }),
      image,
      fc.constantFrom(A, B, undefined),
      (entries, text, digest) => {
        const ref = parseImageRef(text)
        fc.pre(ref.digest === undefined || ref.digest === digest)
        const { before, after } = answers(entries, text, digest)
        expect(after && !before).toBe(false)
      },
    ),
  )
})

describe('matchesGlob', () => {
  it('agrees with a regular expression', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', '/'), maxLength: 10 })
    const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '/', '*', '?'), maxLength: 8 })
    fc.assert(
      fc.property(text, pattern, (subject, glob) => {
        const regex = new RegExp(`^${glob.replaceAll('?', '.').replaceAll('*', '.*')}$`)
        expect(matchesGlob(subject, glob)).toBe(regex.test(subject))
      }),
      { numRuns: 2000 },
    )
  })

  it('takes no characters for special', () => {
    expect(matchesGlob('aXb', 'a.b')).toBe(false)
    expect(matchesGlob('a.b', 'a.b')).toBe(true)
  })

  it('is quick on a pattern made to be slow', () => {
    const began = performance.now()
    expect(matchesGlob('a'.repeat(255), `${'*a'.repeat(100)}b`)).toBe(false)
    expect(performance.now() - began).toBeLessThan(100)
  })
})
