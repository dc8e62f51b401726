import { describe, expect, it } from 'vitest'
import { plainText, tailOf } from '../../../src/page/plain-text.js'

describe('words that users chose', () => {
  it.each([
    ['registry.example/a/b:1.0', 'registry.example/a/b:1.0'],
    ['Müller 中文 🚀 <b>', 'Müller 中文 🚀 <b>'],
    ['two\nlines\t\u0000', 'two\uFFFDlines\uFFFD\uFFFD'],
    ['evil\u202Egnp.exe', 'evil\uFFFDgnp.exe'], // writes the rest from right to left
    ['a\u200Bb\u2066c', 'a\uFFFDb\uFFFDc'],
  ])('%j', (text, shown) => expect(plainText(text)).toBe(shown))

  it('keep their end where they are long', () => {
    expect(tailOf('registry.example/atlas/analysis:2', 12)).toBe('…/analysis:2'.slice(-12))
    expect(tailOf('short', 5)).toBe('short')
  })
})
