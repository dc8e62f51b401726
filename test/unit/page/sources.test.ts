// What the page's own source must never do, and what its three files say to a browser.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { root, sourceFiles } from '../house/source-files.js'

const html = readFileSync(join(root, 'src/page/page.html'), 'utf8')
const css = readFileSync(join(root, 'src/page/page.css'), 'utf8')

describe('the page', () => {
  it('makes no element of words that came from users', () => {
    const sinks =
      /\b(?:innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|srcdoc|eval|new Function|setHTML\w*)\b/
    const found = sourceFiles.filter(({ room, text }) => room === 'page' && sinks.test(text))
    expect(found.map(({ path }) => path)).toEqual([])
  })

  it('has no script, style or handler in its markup, and nothing from elsewhere', () => {
    expect(html).not.toMatch(/<style|\sstyle=|\son[a-z]+=/)
    expect(html.match(/<script[^>]*>/g)).toEqual(['<script type="module" src="page.js">'])
    expect(html.replace("xmlns='http://www.w3.org/2000/svg'", '')).not.toMatch(/https?:|\/\//)
    expect(css).not.toMatch(/@import|url\(|https?:/)
  })

  it('names a colour only where both looks have it', () => {
    const [light = '', dark = ''] = css.split('@media (prefers-color-scheme: dark)')
    const namesIn = (part: string, end: string) =>
      [...(part.split(end)[0] ?? '').matchAll(/^\s+(--[\w-]+): #/gm)].map(([, name]) => name)
    expect(namesIn(dark, '* {')).toEqual(namesIn(light, '@media'))
    expect(namesIn(light, '@media').length).toBeGreaterThan(25)
  })

  it('is legible in both looks: text 4.5 to 1, what is drawn 3 to 1', () => {
    const [light = '', dark = ''] = css.split('@media (prefers-color-scheme: dark)')
    for (const part of [light, dark.split('* {')[0] ?? '']) {
      const colour = (name: string) => new RegExp(`--${name}: (#[0-9a-f]{6})`).exec(part)?.[1] ?? ''
      const faint: string[] = []
      const check = (name: string, ground: string, least: number) => {
        const ratio = contrast(colour(name), colour(ground))
        if (!(ratio >= least)) faint.push(`${name} on ${ground}: ${ratio.toFixed(2)}`)
      }
      for (const name of ['ink', 'quiet', 'accent'])
        for (const ground of ['panel', 'ground']) check(name, ground, 4.5)
      check('accent-ink', 'accent', 4.5)
      check('accent', 'accent-soft', 4.5)
      check('ink', 'bad-soft', 4.5)
      check('quiet', 'bad-soft', 4.5)
      check('edge', 'panel', 3)
      for (const [, name = ''] of part.matchAll(/--((?:series|state)-[\w-]+|others): #/g))
        check(name, 'panel', 3)
      expect(faint).toEqual([])
    }
  })
})

/** WCAG 2.2 */
function contrast(a: string, b: string): number {
  const [low = 0, high = 0] = [luminance(a), luminance(b)].sort((one, other) => one - other)
  return (high + 0.05) / (low + 0.05)
}

function luminance(colour: string): number {
  const [red = NaN, green = NaN, blue = NaN] = [1, 3, 5].map((at) => {
    const part = parseInt(colour.slice(at, at + 2), 16) / 255
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
  })
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue
}
