// What the node is, gathered on this machine: true, bounded, and without starting a single program.
import { spawnSync } from 'node:child_process'
import { cpus, release, totalmem } from 'node:os'
import { Value } from '@sinclair/typebox/value'
import { describe, expect, it } from 'vitest'
import { gatherFacts } from '../../../src/daemon/node-facts.js'
import type { Daemon } from '../../../src/daemon/compose.js'
import { parseDaemonConfig } from '../../../src/config/load.js'
import { NodeFacts } from '../../../src/wire/ingest-api.js'

const daemon = (toml: string, engine?: { name: string; version: string }) =>
  ({
    config: parseDaemonConfig(toml, 'f.toml', 'n1'),
    engineFacts: async () => {
      if (engine === undefined) throw new Error('down')
      return engine
    },
  }) as unknown as Daemon

describe('the facts of this node', () => {
  it('are what the kernel and the engine say, in the words of the wire', async () => {
    const facts = await gatherFacts(
      daemon('node.hepscore = 312.5', { name: 'docker', version: '20' }),
    )
    expect(facts).toMatchObject({
      threads: cpus().length,
      kernel: release(),
      memory_bytes: totalmem(),
      engine: 'docker',
      engine_version: '20',
      hepscore: 312.5,
    })
    expect(facts.os).toMatch(/\w/)
    const since = '2026-11-20T00:00:00.000Z'
    expect([...Value.Errors(NodeFacts, { ...facts, since })]).toEqual([])
  })

  it('say null for what is not known', async () => {
    expect(await gatherFacts(daemon(''))).toMatchObject({
      engine: null,
      engine_version: null,
      hepscore: null,
    })
  })

  it('of memory come from systeminformation without a program being started', () => {
    const watched = `
      const programs = require('node:child_process')
      for (const name of ['spawn', 'spawnSync', 'exec', 'execSync', 'execFile', 'execFileSync', 'fork'])
        programs[name] = () => { console.log('started'); throw new Error(name) }
      require('systeminformation').mem().then(({ total }) => console.log(total))`
    const { stdout } = spawnSync(process.execPath, ['-e', watched], { encoding: 'utf8' })
    expect(stdout).toBe(`${totalmem()}\n`)
  })
})
