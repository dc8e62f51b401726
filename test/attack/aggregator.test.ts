// The aggregator: users and nodes who want to see or write what is not theirs, or to keep it from its work.
import { createConnection } from 'node:net'
import { randomBytes } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect } from 'vitest'
import { batchPath, ndjson, newLedgerId, usageRecord } from '../support/usage-record.js'
import type { UsageRecord } from '../../src/wire/usage-api.js'
import {
  askAs,
  credentialOf,
  newToken,
  sessionLink,
  startAggregator,
  stopAggregators,
  type Aggregator,
} from '../world/aggregator.js'
import { as as asUser } from '../world/world.js'
import { attack } from './attack.js'

const tokens = {
  'node hepp/n1': newToken(),
  'node hepp/n2': newToken(),
  'user alice:2001': newToken(),
  'user bob:2002': newToken(),
  'operator adm:1000': newToken(),
}
type Holder = keyof typeof tokens

let byToken: Aggregator
let byMunge: Aggregator
const alices = usageRecord({ job_id: 1 })
const bobs = usageRecord({ job_id: 2, user: 'bob', uid: 2002, account: 'cms', image: 'bobs:1' })

const as = (holder: Holder, path: string, init: RequestInit = {}) =>
  fetch(byToken.url + path, {
    ...init,
    redirect: 'manual',
    headers: {
      authorization: `Bearer ${tokens[holder]}`,
      ...(init.headers as Record<string, string>),
    },
  })
const post = async (holder: Holder, path: string, body: string | Buffer, headers = {}) => {
  const reply = await as(holder, path, { method: 'POST', body, headers })
  return { status: reply.status, ...((await reply.json()) as Record<string, unknown>) }
}
const everything = async () => {
  const text = await (await as('operator adm:1000', '/v1/records')).text()
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as UsageRecord)
}
const stored = async (id: string) => (await everything()).filter((record) => record.id === id)

beforeAll(async () => {
  byToken = await startAggregator({ tokens })
  byMunge = await startAggregator()
  expect(await post('node hepp/n1', '/v1/records', ndjson([alices, bobs]))).toMatchObject({
    inserted: 2,
  })
})
afterAll(stopAggregators)

attack('G01', 'own', 'a user writes no record and no facts, in his name or a node’s', async () => {
  const forged = ndjson([{ ...alices, cpu_user_usec: 0 }, usageRecord({ uid: 2002, user: 'bob' })])
  const before = await everything()
  for (const path of [
    '/v1/records',
    '/v1/records?cluster=hepp&node=n1',
    batchPath({ ledger: newLedgerId(), after: 0, upto: 2 }),
  ])
    for (const user of ['alice', 'bob'] as const) {
      const holder = user === 'alice' ? 'user alice:2001' : 'user bob:2002'
      expect(await post(holder, path, forged)).toMatchObject({ status: 403 })
      const reply = await askAs(user, byMunge, { method: 'POST', path, body: forged })
      expect(reply.status).toBe(403)
    }
  const facts = await as('user alice:2001', '/v1/nodes/hepp/n1/facts', {
    method: 'PUT',
    body: '{}',
  })
  expect(facts.status).toBe(403)
  expect(await everything()).toEqual(before)
})

attack(
  'G02',
  'CWE-294',
  'a credential that was overheard is good for nothing else, and not again',
  async () => {
    const path = batchPath({ ledger: newLedgerId(), after: 0, upto: 1 })
    const body = ndjson([usageRecord({ change_seq: 1 })])
    const other = ndjson([usageRecord({ change_seq: 1, cpu_user_usec: 0 })])
    const send = async (authorization: string, method: string, target: string, sent?: string) => {
      const reply = await fetch(byMunge.url + target, {
        method,
        headers: { authorization },
        ...(sent !== undefined && { body: sent }),
      })
      return reply.status
    }
    const overheard = () => credentialOf('root', 'POST', path, body)
    expect(await send(await overheard(), 'POST', path, other)).toBe(401)
    expect(await send(await overheard(), 'POST', `${path}0`, body)).toBe(401)
    expect(await send(await overheard(), 'GET', path)).toBe(401)
    expect(await send(await overheard(), 'POST', '/v1/sessions')).toBe(401)
    const used = await overheard()
    expect(await send(used, 'POST', path, body)).toBe(200)
    expect(await send(used, 'POST', path, body)).toBe(401)
    // Credentials that were made for Slurm, or by munge(1) for anything.
    for (const text of ['', 'slurm', 'hepwrap1', `hepwrap1 POST ${path}`]) {
      const { stdout } = await asUser('root').run(['munge', '-s', text])
      expect(await send(`MUNGE ${stdout.trim()}`, 'POST', path, body)).toBe(401)
    }
  },
)

attack(
  'G03',
  'own',
  'a hostile node writes for no other: not by name, by line, by facts, or by a record’s id',
  async () => {
    const evil = { ...alices, cpu_user_usec: 0, node: 'n2' }
    const n2 = 'node hepp/n2'
    const line = ndjson([evil])
    expect(await post(n2, '/v1/records?cluster=hepp&node=n1', ndjson([alices]))).toMatchObject({
      status: 403,
    })
    expect(await post(n2, '/v1/records', ndjson([alices]))).toMatchObject({ status: 403 })
    expect(await post(n2, '/v1/records?cluster=hepp&node=n2', ndjson([alices]))).toMatchObject({
      status: 400,
    })
    expect(
      await post(n2, '/v1/records', ndjson([usageRecord({ node: 'n2' }), alices])),
    ).toMatchObject({ status: 400 })
    const facts = await as(n2, '/v1/nodes/hepp/n1/facts', { method: 'PUT', body: '{}' })
    expect(facts.status).toBe(403)
    // The id of another node's record: users see ids, and root of a node what they see.
    const sums = async () => (await as('operator adm:1000', '/v1/usage?by=node')).json()
    const before = await sums()
    expect(await post(n2, '/v1/records', line)).toMatchObject({
      status: 200,
      inserted: 0,
      changed: 0,
    })
    const path = batchPath({ node: 'n2', ledger: newLedgerId(), after: 0, upto: 9 })
    expect(await post(n2, path, ndjson([{ ...evil, change_seq: 9 }]))).toMatchObject({ changed: 0 })
    expect(await stored(alices.id)).toEqual([alices])
    expect(await sums()).toEqual(before)
    expect(byToken.logText()).toContain('records with ids of another node')
  },
)

attack(
  'G04',
  'CWE-89',
  'SQL and globs in each filter show nobody else’s records, and change none',
  async () => {
    const words = [
      "' OR '1'='1",
      "' OR 1=1 --",
      "x' UNION SELECT * FROM records --",
      "'; DROP TABLE records; --",
      '" OR ""="',
      '$1',
      '?1',
      '2002',
      'bob',
      'alice,bob',
      '*',
      '%',
      '_ob',
      '[a-z]*',
      '\u0000',
      '*'.repeat(500),
    ]
    const before = await everything()
    const ask = (path: string) => as('user alice:2001', path)
    for (const word of words.map(encodeURIComponent)) {
      for (const field of [
        'user',
        'account',
        'image',
        'node',
        'cluster',
        'partition',
        'state',
        'job',
        'since',
        'cursor',
      ]) {
        const reply = await ask(`/v1/records?${field}=${word}`)
        expect([200, 400]).toContain(reply.status)
        expect(await reply.text()).not.toContain(bobs.id)
      }
      for (const field of [
        'user',
        'account',
        'image',
        'node',
        'cluster',
        'state',
        'by',
        'sort',
        'since',
      ]) {
        const reply = await ask(`/v1/usage?by=user,account&${field}=${word}`)
        expect([200, 400]).toContain(reply.status)
        expect(await reply.text()).not.toMatch(/"(?:bob|cms)"/)
      }
    }
    expect(await everything()).toEqual(before)
  },
)

attack('G05', 'CWE-117', 'nothing that is sent makes a line, or a key, of the log', async () => {
  const evil = '\n{"level":30,"msg":"forged"}\r\n\u001b[2J\u2028'
  await post('node hepp/n1', '/v1/records', evil)
  await post('node hepp/n1', '/v1/records', ndjson([usageRecord({ id: evil })]))
  await post(
    'node hepp/n1',
    '/v1/records',
    ndjson([{ ...usageRecord(), state: evil, msg: 'forged' }]),
  )
  await as('node hepp/n1', `/v1/records?${encodeURIComponent(evil)}=1`, {
    method: 'POST',
    body: 'x',
  })
  await fetch(`${byToken.url}/${encodeURIComponent(evil)}`)
  await fetch(`${byToken.url}/v1/records`, {
    headers: { authorization: 'Bearer \u00e9\u00e9forged' },
  })
  const text = byToken.logText()
  expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u2028]/)
  expect(text.split('\n').filter((line) => line !== '' && !line.startsWith('{"level"'))).toEqual([])
  expect(byToken.log().filter(({ msg }) => msg === 'forged')).toEqual([])
  for (const token of Object.values(tokens)) expect(text).not.toContain(token)
})

attack('G06', 'own', 'connections and credentials without end hold nobody up', async () => {
  const { port } = new URL(byMunge.url)
  const open = Array.from({ length: 1000 }, () => createConnection(Number(port), '127.0.0.1'))
  for (const [index, socket] of open.entries()) {
    socket.on('error', () => undefined)
    socket.write(index % 2 === 0 ? 'POST /v1/records HTTP/1.1\r\nHost: x\r\nX: ' : 'G')
  }
  const garbage = Array.from({ length: 500 }, async () => {
    const authorization = `MUNGE MUNGE:${randomBytes(300).toString('base64')}:`
    return (await fetch(`${byMunge.url}/v1/whoami`, { headers: { authorization } })).status
  })
  const who = await askAs('alice', byMunge, { path: '/v1/whoami' })
  expect(await who.json()).toMatchObject({ user: 'alice' })
  for (const status of await Promise.all(garbage)) expect([401, 503]).toContain(status)
  const again = await askAs('bob', byMunge, { path: '/v1/whoami' })
  expect(await again.json()).toMatchObject({ user: 'bob' })
  open.forEach((socket) => socket.destroy())
})

attack(
  'G07',
  'CWE-409',
  'bombs of gzip and of JSON are refused in a line, and others served meanwhile',
  async () => {
    const bomb = gzipSync(Buffer.alloc(256 * 1024 * 1024))
    const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}\n`
    const wide = ndjson([
      {
        ...usageRecord(),
        labels: Object.fromEntries(Array.from({ length: 100_000 }, (_, index) => [`k${index}`, 1])),
      },
    ])
    const gzip = { 'content-encoding': 'gzip' }
    const attempts = [
      post('node hepp/n1', '/v1/records', bomb, gzip),
      post('node hepp/n1', '/v1/records', deep),
      post('node hepp/n1', '/v1/records', wide),
      post('node hepp/n1', '/v1/records', gzipSync(bomb), gzip),
    ]
    expect(
      await post('node hepp/n2', '/v1/records', ndjson([usageRecord({ node: 'n2' })])),
    ).toMatchObject({ inserted: 1 })
    const [bombed, ...others] = await Promise.all(attempts)
    expect([413, 503]).toContain(bombed?.status)
    for (const { status } of others) expect([400, 503]).toContain(status)
  },
)

attack(
  'G08',
  'CWE-352',
  'a browser’s cookie sends nothing, and the page’s files are all that is served',
  async () => {
    const opened = await fetch(await sessionLink('root', byMunge), { redirect: 'manual' })
    const cookie = opened.headers.getSetCookie()[0]?.split(';')[0] ?? ''
    expect(opened.headers.getSetCookie()[0]).toMatch(/HttpOnly; SameSite=Strict/)
    for (const [method, path] of [
      ['POST', '/v1/records'],
      ['POST', '/v1/sessions'],
      ['PUT', '/v1/nodes/hepp/n1/facts'],
    ] as const) {
      const reply = await fetch(byMunge.url + path, {
        method,
        headers: { cookie },
        body: ndjson([alices]),
      })
      expect(reply.status).toBe(401)
    }
    const { port } = new URL(byMunge.url)
    for (const target of [
      '/../aggregator.toml',
      '/..%2f..%2fetc/passwd',
      '//etc/passwd',
      '/page/../../package.json',
      '/%2e%2e/state/aggregator.db',
      'file:///etc/passwd',
    ]) {
      const text = await new Promise<string>((resolve) => {
        const socket = createConnection(Number(port), '127.0.0.1')
        let answer = ''
        socket.on('data', (chunk) => {
          answer += String(chunk)
        })
        socket.on('close', () => resolve(answer))
        socket.on('error', () => resolve(answer))
        socket.write(`GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
      })
      expect(text).toMatch(/^HTTP\/1.1 40[014] /)
      expect(text).not.toMatch(/root:|\[store\]|SQLite format/)
    }
    const page = await fetch(`${byMunge.url}/`)
    if (page.status === 200)
      expect(page.headers.get('content-security-policy')).toMatch(
        /^default-src 'none'; script-src 'self'/,
      )
  },
)

attack(
  'G09',
  'own',
  'a user with hundreds of readers that never read gets sixteen, others all they ask',
  async () => {
    const many = Array.from({ length: 3000 }, () => usageRecord({ command: 'x'.repeat(2000) }))
    await post('node hepp/n1', '/v1/records', ndjson(many))
    const { port } = new URL(byToken.url)
    const begin = () =>
      new Promise<{ status: string; destroy: () => void }>((resolve) => {
        const socket = createConnection(Number(port), '127.0.0.1')
        socket.on('error', () => undefined)
        socket.once('data', (chunk) => {
          socket.pause()
          resolve({ status: String(chunk).split(' ')[1] ?? '', destroy: () => socket.destroy() })
        })
        socket.write(
          `GET /v1/records HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${tokens['user alice:2001']}\r\n\r\n`,
        )
      })
    const readers = await Promise.all(Array.from({ length: 300 }, begin))
    expect(readers.filter(({ status }) => status === '200')).toHaveLength(16)
    expect(readers.filter(({ status }) => status === '503')).toHaveLength(284)
    const bob = await as('user bob:2002', '/v1/records')
    expect((await bob.text()).split('\n').filter((line) => line !== '')).toHaveLength(1)
    readers.forEach(({ destroy }) => destroy())
  },
)

attack(
  'G10',
  'own',
  'no text that a user puts into his run keeps its record from being counted',
  async () => {
    const texts = [
      '\u0000',
      'a\u0000b',
      '\ud800',
      '\udfff\ud800',
      "'",
      '"',
      '\\',
      '\n',
      '${x}',
      '%s',
      '\u202e',
      'é'.repeat(4096),
      '__proto__',
    ]
    const records = texts.map((text) =>
      usageRecord({
        account: 'odd',
        command: text,
        name: text,
        image: text,
        labels: { [text]: text, constructor: text, ['__proto__']: text },
        gres: text,
        step_id: text,
      }),
    )
    expect(await post('node hepp/n1', '/v1/records', ndjson(records))).toMatchObject({
      inserted: texts.length,
    })
    const usage = await as('operator adm:1000', '/v1/usage?account=odd')
    expect(await usage.json()).toMatchObject([{ runs: texts.length }])
    const ids = (await everything()).map(({ id }) => id)
    for (const { id } of records) expect(ids).toContain(id)
  },
)
