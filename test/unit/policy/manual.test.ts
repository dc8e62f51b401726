// docs/policy.md against the keys themselves: none is missing, and defaults and reason codes are those that hold.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { isReasonCode } from '../../../src/base/errors.js'
import { parseDaemonConfig } from '../../../src/config/load.js'
import { MATCH_KEYS, POLICY_KEY_NAMES, POLICY_KEYS } from '../../../src/config/policy-keys.js'

const read = (name: string) =>
  readFileSync(join(import.meta.dirname, `../../../docs/${name}`), 'utf8')
const manual = read('policy.md')

/** As TOML writes it. */
const written = (value: unknown): string =>
  Array.isArray(value) ? `[${value.map(written).join(', ')}]` : JSON.stringify(value)

describe('the tables of docs/policy.md', () => {
  it.each(POLICY_KEY_NAMES)('have %s, its kind and its default', (key) => {
    const { folding, builtIn } = POLICY_KEYS[key]
    const row = `| \`${key}\` | ${folding} | \`${written(builtIn)}\` | `
    expect(manual.split('\n').filter((line) => line.startsWith(row))).toHaveLength(1)
  })

  it('have no other key', () => {
    const rows = [...manual.matchAll(/^\| `([a-z_.]+)` \| (?:last|list|denials) \|/gm)]
    expect(rows.map(([, key]) => key)).toEqual([...POLICY_KEY_NAMES])
  })

  it.each(MATCH_KEYS)('say whom %s is for', (key) => expect(manual).toContain(`\`${key}\``))

  it('name reason codes that there are', () => {
    const codes = [...manual.matchAll(/\bHW_[A-Z_]+/g)].map(([code]) => code)
    expect(codes.filter((code) => !isReasonCode(code))).toEqual([])
    expect(codes.length).toBeGreaterThan(20)
  })
})

describe('what is to be copied is taken by the daemon', () => {
  const blocks = ['policy.md', 'admin-guide.md'].flatMap((name) =>
    [...read(name).matchAll(/^```toml\n([^]*?)^```$/gm)].map(([, text = '']) => ({ name, text })),
  )
  it('has found the blocks', () => expect(blocks.length).toBeGreaterThan(4))
  it.each(blocks)('$name: $text', ({ name, text }) =>
    expect(() => parseDaemonConfig(text, name)).not.toThrow(),
  )
})
