// The site's lists of paths, followed through links: only where root alone can have put one.
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { realLaw } from '../../../src/mounts/real-path.js'

const ALICE = 2001
let base = ''
beforeAll(() => {
  base = mkdtempSync('/srv/paths-')
  chmodSync(base, 0o755)
  for (const name of ['real', 'hers', 'shared']) mkdirSync(join(base, name))
  chownSync(join(base, 'hers'), ALICE, ALICE)
  chmodSync(join(base, 'shared'), 0o1777)
  symlinkSync('real', join(base, 'of-root'))
  for (const name of ['hers', 'shared']) {
    symlinkSync('/', join(base, name, 'to-root'))
    symlinkSync('loop', join(base, name, 'loop'))
  }
  symlinkSync('hers/to-root', join(base, 'by-way-of-hers'))
})
afterAll(() => rmSync(base, { recursive: true }))

const realOf = async (path: string) => {
  const entry = { path, decidedBy: 'x' }
  const law = { denied: [entry], allowed: [entry], readOnly: [entry], decidedBy: '' }
  const { denied, allowed, readOnly } = await realLaw(law)
  expect([allowed, readOnly]).toEqual([denied, denied])
  return denied.map((one) => one.path.replace(base, ''))
}

it.each([
  ['/real', ['/real']],
  ['/of-root', ['/of-root', '/real']],
  ['/of-root/below/it', ['/of-root/below/it', '/real/below/it']],
  ['/nowhere/at/all', ['/nowhere/at/all']],
  // A user's link is nobody's law: it would deny everything to everybody, or allow it.
  ['/hers/to-root', ['/hers/to-root']],
  ['/hers/to-root/etc', ['/hers/to-root/etc']],
  ['/shared/to-root', ['/shared/to-root']],
  ['/by-way-of-hers', ['/by-way-of-hers']],
  // Nor does one that leads nowhere end anybody's run.
  ['/hers/loop', ['/hers/loop']],
  ['/shared/loop/x', ['/shared/loop/x']],
])('%s is %j', async (path, expected) => expect(await realOf(base + path)).toEqual(expected))

it('does not wait for one path twice at a time', async () => {
  const both = await Promise.all([realOf(join(base, 'of-root')), realOf(join(base, 'of-root'))])
  expect(both[0]).toEqual(both[1])
})
