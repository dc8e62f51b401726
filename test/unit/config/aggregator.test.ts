// aggregator.toml: what is taken, and what is refused with file, line and key.
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { loadAggregatorConfig, parseAggregatorConfig } from '../../../src/config/load-aggregator.js'
import { readFileSync } from 'node:fs'

const parse = (text: string) => parseAggregatorConfig(text, 'a.toml')
const DEFAULTS = {
  server: {
    listen: '127.0.0.1:7780',
    tls_cert: '',
    tls_key: '',
    log_level: 'info',
    max_in_flight_mb: 64,
    request_timeout_s: 30,
  },
  store: { url: 'sqlite:/var/lib/hepwrap/aggregator.db', keep_days: 0 },
  auth: {
    method: 'munge',
    token_file: '',
    operators: ['root'],
    clusters: [],
    node_address: 'resolve',
  },
}

it('has every default, frozen', () => {
  const config = parse('')
  expect(config).toEqual(DEFAULTS)
  expect(Object.isFrozen(config.auth.operators)).toBe(true)
})

it('is what config/aggregator.toml says', () => {
  const path = join(import.meta.dirname, '../../../config/aggregator.toml')
  const text = readFileSync(path, 'utf8')
  // Beside the ledger of a worker's hepwrapd it would be in root's directory.
  const url = 'sqlite:/var/lib/hepwrap-aggregator/aggregator.db'
  expect(parse(text)).toEqual({ ...DEFAULTS, store: { ...DEFAULTS.store, url } })
  const named = [...text.matchAll(/^([a-z_]+) = /gm)].map(([, key]) => key)
  expect(named).toEqual(Object.values(DEFAULTS).flatMap((section) => Object.keys(section)))
})

describe('is refused', () => {
  it.each([
    ['[server]\nlisen = "x"', 'a.toml:2: server.lisen: unknown key'],
    ['[servers]', 'a.toml:1: servers: unknown key'],
    ['server = 1', 'a.toml:1: server: must be a table (1)'],
    [
      '[server]\nlisten = 7780',
      'server.listen: must be ADDRESS:PORT, like "127.0.0.1:7780" (7780)',
    ],
    ['[server]\nlisten = "127.0.0.1:0"', 'must end in a port from 1 to 65535'],
    ['[server]\nlisten = "127.0.0.1:65536"', 'must end in a port from 1 to 65535'],
    ['[server]\ntls_cert = "/c"', 'a.toml:1: server.tls_key: must name a file'],
    ['[store]\nurl = "mysql://x"', 'a.toml:2: store.url: must be sqlite:FILE or postgres://…'],
    ['[store]\nurl = "sqlite:relative.db"', 'a.toml:2: store.url: must be sqlite:FILE'],
    ['[auth]\nmethod = "none"', 'a.toml:2: auth.method: must be one of munge, token ("none")'],
    ['[auth]\nmethod = "token"', 'a.toml:1: auth.token_file: must name a file'],
    [
      '[auth]\noperators = ["root", 1]',
      'a.toml:2: auth.operators.1: must be the name of a user (1)',
    ],
    [
      '[server]\nlisten = "0.0.0.0:7780"\n[auth]\nmethod = "token"\ntoken_file = "/t"',
      'a.toml:2: server.listen: tokens go over plain http only on this host',
    ],
  ])('%j', (text, message) => {
    expect(() => parse(text)).toThrow(message)
  })

  it('with a password that others may read', () => {
    const directory = mkdtempSync(join(tmpdir(), 'aggregator-'))
    const path = join(directory, 'a.toml')
    const guard = { ownerUid: process.getuid!(), below: directory }
    writeFileSync(path, '[store]\nurl = "postgres://u:secret@db/hepwrap"\n', { mode: 0o644 })
    try {
      expect(() => loadAggregatorConfig(path, guard)).toThrow(/can be read by others/)
      chmodSync(path, 0o640)
      expect(loadAggregatorConfig(path, guard).store.url).toMatch(/^postgres:/)
    } finally {
      rmSync(directory, { recursive: true })
    }
  })
})
