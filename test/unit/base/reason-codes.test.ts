// The catalogue, docs/reason-codes.md and the code that throws: held together.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { isReasonCode, quote, REASONS } from '../../../src/base/errors.js'
import { VERSION } from '../../../src/base/version.js'

const root = join(import.meta.dirname, '../../..')
const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts') && !/^base\/(?:run-|aggregator-)?reasons\.ts$/.test(path))
  .map((path) => readFileSync(join(root, 'src', path), 'utf8'))
  .join('\n')

/** docs/reason-codes.md as it must read. */
const page = () =>
  [
    '# Reason codes',
    '',
    'Where `hepwrap` refuses or fails it prints one line, `hepwrap: <what> (<CODE>)`, and every record that did not',
    'simply complete carries the code. `hepwrap explain CODE` prints this page’s row. Codes never change their meaning.',
    '',
    '| code | exit status of `run` | what it means | what to do |',
    '| --- | --- | --- | --- |',
    ...Object.entries(REASONS).map(
      ([code, { exit, meaning, mend }]) => `| \`${code}\` | ${exit} | ${meaning} | ${mend} |`,
    ),
    '',
  ].join('\n')

describe('reason codes', () => {
  test('docs/reason-codes.md says what the catalogue says', async () => {
    await expect(page()).toMatchFileSnapshot(join(root, 'docs/reason-codes.md'))
  })

  test.each(Object.keys(REASONS))('%s is used in src', (code) => {
    expect(sources).toContain(code)
  })

  test('every code named in src is in the catalogue', () => {
    const named = new Set(sources.match(/\bHW_[A-Z_]+\b/g))
    expect([...named].filter((code) => !isReasonCode(code) && code !== 'HW_ENGINE')).toEqual([])
  })
})

test('quote lets nothing through that a terminal or a log would obey', () => {
  for (const evil of [
    '\u001b[2J',
    'a\nb',
    '\u0000',
    '\u202e',
    '\u009b',
    '\u007f',
    'x'.repeat(10_000),
  ]) {
    const quoted = quote(evil)
    expect(quoted).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e]/)
    expect(quoted.length).toBeLessThan(1300)
  }
})

test('the version is the package’s', () => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    version: string
  }
  expect(VERSION).toBe(version)
})
