// hepwrap-aggregator as a program: what it says of its configuration, as whom it runs, and how its tokens change.
import { chmodSync, mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { sha256Hex } from '../../../src/trust/request-line.js'
import { newToken, startAggregator, stopAggregators } from '../../world/aggregator.js'
import { eventually } from '../../world/eventually.js'
import { as } from '../../world/world.js'

afterAll(stopAggregators)

const PROGRAM = ['/usr/local/bin/node', '/opt/hepwrap/dist/bin/hepwrap-aggregator.js']
const run = (...args: string[]) => as('root').run([...PROGRAM, ...args])

function configFile(text: string, mode = 0o644): string {
  const directory = mkdtempSync('/srv/config-')
  chmodSync(directory, 0o755)
  const path = join(directory, 'aggregator.toml')
  writeFileSync(path, text)
  chmodSync(path, mode)
  return path
}

describe('the command line', () => {
  it('has --help and --version', async () => {
    expect(await run('--help')).toMatchObject({
      status: 0,
      stdout: expect.stringContaining('--check-config') as string,
    })
    expect(await run('--version')).toMatchObject({
      status: 0,
      stdout: 'hepwrap-aggregator 0.1.0\n',
    })
    expect(await run('--vers')).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/HW_USAGE/) as string,
    })
  })

  it('checks the configuration, and all that it names, and starts nothing', async () => {
    const good = configFile('[server]\nlisten = "127.0.0.1:7999"\n')
    expect(await run('--check-config', '--config', good)).toMatchObject({
      status: 0,
      stdout: `${good}: ok\n`,
    })
    const bad = configFile('[server]\nlisten = 1\n[auth]\nmethd = "munge"\n')
    expect(await run('--check-config', '--config', bad)).toMatchObject({
      status: 1,
      stderr:
        `hepwrap-aggregator: ${bad}:2: server.listen: must be ADDRESS:PORT, like "127.0.0.1:7780" (1)\n` +
        `${bad}:4: auth.methd: unknown key (HW_CONFIG_INVALID)\n`,
    })
    expect(await run('--check-config', '--config', '/nonexistent')).toMatchObject({ status: 1 })
  })

  it('refuses a file that others can write, tokens and keys that others can read, and being root', async () => {
    const refused = async (path: string, message: RegExp, ...args: string[]) =>
      expect(await run('--config', path, ...args)).toMatchObject({
        status: 1,
        stderr: expect.stringMatching(message) as string,
      })
    await refused(configFile('', 0o666), /can be written by others/)
    await refused(configFile(''), /must not run as root/)
    const tokens = configFile(`user a:1 ${sha256Hex('t')}\n`, 0o644)
    const byToken = configFile(`[auth]\nmethod = "token"\ntoken_file = "${tokens}"\n`)
    await refused(byToken, /can be read by others, and holds secrets/, '--check-config')
    chmodSync(tokens, 0o640)
    expect(await run('--check-config', '--config', byToken)).toMatchObject({ status: 0 })
    const key = configFile('key', 0o644)
    const tls = configFile(`[server]\ntls_cert = "${key}"\ntls_key = "${key}"\n`)
    await refused(tls, /can be read by others, and holds a key/, '--check-config')
  })
})

describe('running', () => {
  it('reads its tokens again when it is told to, and keeps the old ones where the new are none', async () => {
    const [first, second] = [newToken(), newToken()]
    const aggregator = await startAggregator({ tokens: { 'user alice:2001': first } })
    const tokenFile = join(aggregator.configPath, '../tokens')
    const who = async (token: string) =>
      (
        await fetch(`${aggregator.url}/v1/whoami`, {
          headers: { authorization: `Bearer ${token}` },
        })
      ).status
    expect([await who(first), await who(second)]).toEqual([200, 401])
    writeFileSync(tokenFile, 'rubbish\n')
    await aggregator.kill('SIGHUP')
    await eventually(() => aggregator.logText().includes('the token file is not taken'))
    expect(await who(first)).toBe(200)
    writeFileSync(tokenFile, `user alice:2001 ${sha256Hex(second)}\n`)
    await aggregator.kill('SIGHUP')
    await eventually(async () => (await who(second)) === 200)
    expect(await who(first)).toBe(401)
  })

  it('ends with a line where its store or its port cannot be had', async () => {
    const aggregator = await startAggregator()
    const { host } = new URL(aggregator.url)
    await expect(startAggregator({ config: { server: { listen: host } } })).rejects.toThrow(
      /EADDRINUSE/,
    )
    await expect(startAggregator({ storeUrl: 'sqlite:/proc/none/aggregator.db' })).rejects.toThrow(
      /hepwrap-aggregator: .*\(HW_STORE_UNAVAILABLE\)/,
    )
  })
})
