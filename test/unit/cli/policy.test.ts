// `hepwrap policy show` as a process against a daemon played by the test: what an admin reads.
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import type { PolicyShown } from '../../../src/wire/policy-api.js'
import { buildClient, type BuiltClient } from './support/built-client.js'
import { startClient } from './support/client-process.js'
import { startFakeDaemon, type FakeDaemon } from './support/fake-daemon.js'

let client: BuiltClient
let daemon: FakeDaemon | undefined
beforeAll(async () => {
  client = await buildClient()
})
afterAll(() => client.remove())
afterEach(async () => {
  await daemon?.stop()
  daemon = undefined
})

const SHOWN: PolicyShown = {
  user: { name: 'ada', uid: 1000, gid: 100, groups: [100, 500], home: '/home/ada', shell: null },
  settings: [
    { key: 'images.allow', value: 'debian', decided_by: '/etc/h.toml:3 [images]: images.allow' },
    { key: 'images.deny', value: null, decided_by: 'built in: images.deny' },
    { key: 'ceilings.tmpfs', value: 'a\n\u001b[31mb', decided_by: 'rule "x\ny"' },
  ],
}

async function show(shown: PolicyShown): Promise<string> {
  daemon = await startFakeDaemon({
    http: (_request, reply) =>
      reply.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(shown)),
  })
  const args = ['policy', 'show', '--as', 'ada']
  const { stdout } = await startClient(client.path, daemon.socketPath, args).end
  return stdout.toString()
}

it('prints the user, a blank line, and a line a value', async () => {
  expect((await show(SHOWN)).split('\n')).toEqual([
    'user ada uid 1000 gid 100 groups 100,500',
    '',
    'images.allow = "debian"            /etc/h.toml:3 [images]: images.allow',
    'images.deny = []                   built in: images.deny',
    'ceilings.tmpfs = "a\\n\\u001b[31mb"  rule "x y"',
    '',
  ])
})
