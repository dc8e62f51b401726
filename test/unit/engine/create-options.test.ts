// ContainerSpec to the engine's create request. A case is a folder of fixtures/create-options: spec.json → expected.json.
// Which keys there may be, and what security depends on: create-request.test.ts.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createOptions } from '../../../src/engine/create-options.js'
import type { ContainerSpec } from '../../../src/engine/engine.js'
import { anySpec } from './any-spec.js'

const cases = join(import.meta.dirname, 'fixtures/create-options')
const readJson = (path: string): unknown => JSON.parse(readFileSync(path, 'utf8'))

describe('a case', () => {
  it.each(readdirSync(cases))('%s', (name) => {
    const spec = readJson(join(cases, name, 'spec.json')) as ContainerSpec
    const expected = join(cases, name, 'expected.json')
    expect(existsSync(expected), 'a new case is written once, read by its author, and kept').toBe(
      true,
    )
    expect(JSON.parse(JSON.stringify(createOptions(spec)))).toEqual(readJson(expected))
  })
})

describe('whatever the spec, the request', () => {
  const everySpec = (check: (spec: ContainerSpec) => void) =>
    fc.assert(fc.property(anySpec, check), { numRuns: 200 })

  it('runs our program with the rest as its arguments, never the image’s', () => {
    everySpec((spec) => {
      const { Entrypoint, Cmd } = createOptions(spec)
      expect([Entrypoint ?? [], Cmd ?? []].flat()).toEqual(spec.argv)
      expect(Entrypoint).toHaveLength(1)
    })
  })

  it('mounts what the spec says and nothing else, without making a source', () => {
    everySpec((spec) => {
      const mounts = createOptions(spec).HostConfig?.Mounts ?? []
      expect(mounts.map(({ Target }) => Target)).toEqual(spec.mounts.map(({ target }) => target))
      for (const [index, one] of mounts.entries()) {
        const wanted = spec.mounts[index]
        expect(one.Type).toBe(wanted?.kind)
        if (wanted?.kind !== 'bind') continue
        expect(one.ReadOnly).toBe(wanted.readOnly)
        expect(one.BindOptions).toEqual({ Propagation: wanted.propagation })
        expect(one.Source).toBe(wanted.source)
      }
    })
  })

  it('passes labels and environment on word by word', () => {
    everySpec((spec) => {
      const { Labels, Env } = createOptions(spec)
      expect(Object.entries(Labels ?? {})).toEqual(Object.entries(spec.labels))
      expect(Env).toEqual(Object.entries(spec.env).map(([name, value]) => `${name}=${value}`))
    })
  })
})
