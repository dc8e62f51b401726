// Who may send and who may read: the real program with the real munged, and with tokens over TLS.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openUpstream } from '../../../src/upstream/upstream.js'
import { expectOk, refusalOf } from '../../../src/upstream/refusal.js'
import { batchPath, ndjson, newLedgerId, usageRecord } from '../../support/usage-record.js'
import {
  askAs,
  credentialOf,
  newToken,
  sessionLink,
  startAggregator,
  stopAggregators,
  writeToken,
  type Aggregator,
} from '../../world/aggregator.js'
import type { UsageRecord } from '../../../src/wire/usage-api.js'

afterAll(stopAggregators)

const records = async (reply: Response) =>
  (await reply.text())
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as UsageRecord)

const refusal = async (reply: Response) => {
  const { error } = (await reply.json()) as { error: { code: string; message: string } }
  return { status: reply.status, ...error }
}

describe('by MUNGE', () => {
  let aggregator: Aggregator
  const own = usageRecord()
  const bobs = usageRecord({ user: 'bob', uid: 2002, account: 'cms', job_id: 43 })
  const path = '/v1/records?cluster=hepp&node=n1'

  beforeAll(async () => {
    aggregator = await startAggregator()
    const body = ndjson([own, bobs])
    const reply = await askAs('root', aggregator, { method: 'POST', path, body })
    expect(await reply.json()).toEqual({ inserted: 2, changed: 0, duplicates: 0, acked: null })
  })

  it('ACCEPTANCE 35: a user sees his own records only, however he asks', async () => {
    for (const query of [
      '',
      '?user=bob',
      '?user=*',
      '?user=2002',
      '?job=43',
      '?account=cms',
      '?limit=10',
    ]) {
      const reply = await askAs('alice', aggregator, { path: `/v1/records${query}` })
      expect(reply.status).toBe(200)
      for (const { user } of await records(reply)) expect(user).toBe('alice')
    }
    expect(await records(await askAs('alice', aggregator, { path: '/v1/records' }))).toEqual([own])
    const usage = await askAs('alice', aggregator, { path: '/v1/usage?by=user' })
    expect(await usage.json()).toMatchObject([{ user: 'alice', runs: 1 }])
    const foreign = await askAs('alice', aggregator, { path: '/v1/usage?by=account&user=bob' })
    expect(await foreign.json()).toEqual([])
  })

  it('ACCEPTANCE 35: an operator sees everybody’s', async () => {
    const seen = await records(await askAs('root', aggregator, { path: '/v1/records' }))
    expect(seen.map(({ user }) => user).sort()).toEqual(['alice', 'bob'])
  })

  it('ACCEPTANCE 35: a user can change none: he is no node, and no other way in takes anything', async () => {
    const forged = ndjson([{ ...own, cpu_user_usec: 0 }])
    for (const target of [
      path,
      '/v1/records',
      batchPath({ ledger: newLedgerId(), after: 0, upto: 9 }),
    ]) {
      const reply = await askAs('alice', aggregator, { method: 'POST', path: target, body: forged })
      expect(await refusal(reply)).toMatchObject({ status: 403, code: 'HW_NODE_MISMATCH' })
    }
    const facts = await askAs('alice', aggregator, {
      method: 'PUT',
      path: '/v1/nodes/hepp/n1/facts',
      body: '{}',
    })
    expect(await refusal(facts)).toMatchObject({ status: 403, code: 'HW_NODE_MISMATCH' })
    for (const method of ['DELETE', 'PATCH', 'PUT']) {
      const reply = await askAs('alice', aggregator, { method, path: '/v1/records' })
      expect(reply.status).toBe(404)
    }
    expect(await records(await askAs('alice', aggregator, { path: '/v1/records' }))).toEqual([own])
  })

  it('says who one is', async () => {
    const who = async (user: 'root' | 'alice') =>
      (await askAs(user, aggregator, { path: '/v1/whoami' })).json()
    expect(await who('alice')).toEqual({ user: 'alice', uid: 2001, operator: false })
    expect(await who('root')).toEqual({ user: 'root', uid: 0, operator: true })
  })

  it('refuses every request without a good credential, with 401 and why', async () => {
    const good = await credentialOf('root', 'POST', path, 'x\n')
    const replayed = await credentialOf('alice', 'GET', '/v1/whoami')
    const ask = async (method: string, target: string, authorization?: string, body?: string) => {
      const reply = await fetch(aggregator.url + target, {
        method,
        headers: authorization === undefined ? {} : { authorization },
        ...(body !== undefined && { body }),
      })
      return reply.status === 200 ? { status: 200 } : refusal(reply)
    }
    const refused = (code: string) => expect.objectContaining({ status: 401, code }) as unknown
    const missing = refused('HW_CREDENTIAL_MISSING')
    const invalid = refused('HW_CREDENTIAL_INVALID')
    for (const target of ['/v1/records', '/v1/usage', '/v1/nodes', '/v1/whoami'])
      expect(await ask('GET', target)).toEqual(missing)
    for (const target of ['/v1/records', '/v1/sessions'])
      expect(await ask('POST', target, undefined, 'x')).toEqual(missing)
    expect(await ask('GET', '/v1/whoami', 'MUNGE MUNGE:AAAA:')).toEqual(invalid)
    expect(await ask('GET', '/v1/whoami', 'Bearer 0123456789abcdef')).toEqual(invalid)
    // another body, another path, another method than was signed
    expect(await ask('POST', path, good, 'y\n')).toEqual(invalid)
    const forThis = () => credentialOf('root', 'POST', path, 'x\n')
    expect(await ask('POST', `${path}&after=0`, await forThis(), 'x\n')).toEqual(invalid)
    expect(await ask('PUT', '/v1/nodes/hepp/n1/facts', await forThis(), 'x\n')).toEqual(invalid)
    expect(await ask('GET', path, await credentialOf('root', 'POST', path))).toEqual(invalid)
    // the same once more
    expect(await ask('GET', '/v1/whoami', replayed)).toEqual({ status: 200 })
    expect(await ask('GET', '/v1/whoami', replayed)).toEqual(refused('HW_CREDENTIAL_REPLAYED'))
    expect(aggregator.logText()).not.toMatch(/MUNGE:A/)
  })

  it('lets a node write its own records only', async () => {
    const post = async (target: string, node: string) => {
      const body = ndjson([usageRecord({ node })])
      return refusal(await askAs('root', aggregator, { method: 'POST', path: target, body }))
    }
    const elsewhere = '/v1/records?cluster=hepp&node=localhost'
    expect(await post(elsewhere, 'localhost')).toMatchObject({
      status: 403,
      code: 'HW_NODE_MISMATCH',
    })
    // Nobody here answers for this name: it may be the node, and comes again.
    expect(await post('/v1/records?cluster=hepp&node=unknown-node', 'unknown-node')).toMatchObject({
      status: 503,
      code: 'HW_AGGREGATOR_BUSY',
    })
    expect(aggregator.logText()).toMatch(/no answer to which address ..unknown-node.. has/)
    expect(await post('/v1/records', 'localhost')).toMatchObject({ code: 'HW_NODE_MISMATCH' })
    expect(await post(path, 'n2')).toMatchObject({
      status: 400,
      code: 'HW_BATCH_INVALID',
      message: 'line 1: the record is of "hepp/n2", the batch of "hepp/n1"',
    })
    const facts = await askAs('root', aggregator, {
      method: 'PUT',
      path: '/v1/nodes/hepp/localhost/facts',
      body: '{}',
    })
    expect(await refusal(facts)).toMatchObject({ status: 403, code: 'HW_NODE_MISMATCH' })
  })

  it('gives a browser a cookie for a link, once, and lets it look and nothing else', async () => {
    const link = await sessionLink('alice', aggregator)
    const opened = await fetch(link, { redirect: 'manual' })
    expect(opened.status).toBe(303)
    const [cookie = ''] = opened.headers.getSetCookie()
    expect(cookie).toMatch(/; HttpOnly; SameSite=Strict/)
    const again = await fetch(link, { redirect: 'manual' })
    expect(again.headers.getSetCookie()).toEqual([])
    const headers = { cookie: cookie.split(';')[0]! }
    const seen = await records(await fetch(`${aggregator.url}/v1/records`, { headers }))
    expect(seen.map(({ user }) => user)).toEqual(['alice'])
    const sent = await fetch(aggregator.url + path, {
      method: 'POST',
      headers,
      body: ndjson([own]),
    })
    expect(await refusal(sent)).toMatchObject({ status: 401, code: 'HW_CREDENTIAL_MISSING' })
    const forged = await fetch(`${aggregator.url}/v1/whoami`, {
      headers: { cookie: 'hepwrap_session=AAAA' },
    })
    expect(await refusal(forged)).toMatchObject({ status: 401, code: 'HW_CREDENTIAL_EXPIRED' })
  })
})

describe('by token over TLS', () => {
  const tokens = {
    'node hepp/n1': newToken(),
    'user alice:2001': newToken(),
    'operator adm:1000': newToken(),
  }
  let aggregator: Aggregator
  const upstream = (holder: keyof typeof tokens) =>
    openUpstream({
      url: aggregator.url,
      auth: 'token',
      tokenFile: writeToken(tokens[holder]),
      caFile: aggregator.caFile,
    })
  const send = (holder: keyof typeof tokens, node: string, path: string) =>
    upstream(holder).request({
      method: 'POST',
      path,
      body: ndjson([usageRecord({ node })]),
      gzip: true,
      timeoutMs: 10_000,
    })
  const ask = (holder: keyof typeof tokens, path: string) =>
    upstream(holder).request({ method: 'GET', path, timeoutMs: 10_000 })

  beforeAll(async () => {
    aggregator = await startAggregator({ tls: true, tokens })
  })

  it('a node writes its own records, and reads nothing', async () => {
    const sent = await expectOk(
      await send('node hepp/n1', 'n1', '/v1/records?cluster=hepp&node=n1'),
    )
    expect(JSON.parse(await sent.text())).toMatchObject({ inserted: 1 })
    for (const [node, path] of [
      ['n2', '/v1/records?cluster=hepp&node=n2'],
      ['n2', '/v1/records'],
    ] as const) {
      const { status, error } = await refusalOf(await send('node hepp/n1', node, path))
      expect({ status, code: error.code }).toEqual({ status: 403, code: 'HW_NODE_MISMATCH' })
    }
    for (const path of ['/v1/records', '/v1/usage', '/v1/nodes']) {
      const { status, error } = await refusalOf(await ask('node hepp/n1', path))
      expect({ status, code: error.code }).toEqual({ status: 403, code: 'HW_NOT_OPERATOR' })
    }
  })

  it('a person reads, and writes nothing', async () => {
    const seen = await (await expectOk(await ask('user alice:2001', '/v1/records'))).text()
    expect(seen.split('\n').filter((line) => line !== '')).toHaveLength(1)
    for (const holder of ['user alice:2001', 'operator adm:1000'] as const) {
      const { status, error } = await refusalOf(
        await send(holder, 'n1', '/v1/records?cluster=hepp&node=n1'),
      )
      expect({ status, code: error.code }).toEqual({ status: 403, code: 'HW_NODE_MISMATCH' })
    }
    const whoami = await (await expectOk(await ask('operator adm:1000', '/v1/whoami'))).text()
    expect(JSON.parse(whoami)).toEqual({ user: 'adm', uid: 1000, operator: true })
  })

  it('nobody else does anything', async () => {
    const stranger = openUpstream({
      url: aggregator.url,
      auth: 'token',
      tokenFile: writeToken(newToken()),
      caFile: aggregator.caFile,
    })
    const { status, error } = await refusalOf(
      await stranger.request({ method: 'GET', path: '/v1/records', timeoutMs: 10_000 }),
    )
    expect({ status, code: error.code }).toEqual({ status: 401, code: 'HW_CREDENTIAL_INVALID' })
    const text = aggregator.logText()
    for (const token of Object.values(tokens)) expect(text).not.toContain(token)
  })
})
