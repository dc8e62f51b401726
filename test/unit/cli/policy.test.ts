// `hepwrap policy` as a process against a daemon played by the test: what an admin reads.
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import type { DryRun, PolicyShown } from '../../../src/wire/policy-api.js'
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

/** What a new daemon that says this has `hepwrap policy` print. */
async function policy(args: string[], shown: PolicyShown, report?: DryRun): Promise<string> {
  await daemon?.stop()
  daemon = await startFakeDaemon({
    http: (request, reply) =>
      reply
        .writeHead(200, { 'content-type': 'application/json' })
        .end(JSON.stringify(request.method === 'POST' ? report : shown)),
  })
  const { stdout } = await startClient(client.path, daemon.socketPath, ['policy', ...args]).end
  return stdout.toString()
}

const show = (shown: PolicyShown, ...more: string[]) =>
  policy(['show', '--as', 'ada', ...more], shown)

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

it('prints no character that steers a terminal, and JSON stays what it was', async () => {
  const evil = 'a\u001b[31m\u007f\u009b31m\u061c\u200e\u2028\u2029\u202e\u2066b'
  const shown: PolicyShown = {
    ...SHOWN,
    settings: [{ key: 'images.allow', value: evil, decided_by: evil }],
  }
  const report: DryRun = {
    verdict: 'allowed',
    refusal: null,
    points: [],
    create_request: { Image: 'debian', Cmd: [evil] },
  }
  const check = (...more: string[]) =>
    policy(['check', '--as', 'ada', ...more, 'run', 'debian'], shown, report)
  const texts = [await check(), await check('--json'), await show(shown, '--json')]
  for (const text of texts) expect(text).not.toMatch(/[^\P{C}\n]|[\u2028\u2029]/u)
  const [plain = '', checked = '', showed = ''] = texts
  expect(JSON.parse(plain.slice(plain.indexOf('{')))).toEqual(report.create_request)
  expect(JSON.parse(checked)).toEqual(report)
  expect(JSON.parse(showed)).toEqual(shown)
})
