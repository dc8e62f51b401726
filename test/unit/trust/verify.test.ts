// Who a request is taken for: tokens, and what a credential must look like before munged is asked.
import { describe, expect, it } from 'vitest'
import { systemClock } from '../../../src/base/clock.js'
import { rememberUsed } from '../../../src/trust/once-only.js'
import { parseRequestLine, requestLine, sha256Hex } from '../../../src/trust/request-line.js'
import { parseTokenList } from '../../../src/trust/token-list.js'
import { mungeVerifier, tokenVerifier } from '../../../src/trust/verify.js'

const TOKENS = `
# comment
node hepp/n1 ${sha256Hex('node-token-of-n1')}
user alice:2001 ${sha256Hex('token-of-alice-1')}   # hers
operator adm:1000 ${sha256Hex('token-of-adm-0001')}
`
const list = parseTokenList(TOKENS, 'tokens')
const request = (authorization: string | undefined) => ({
  method: 'GET',
  target: '/',
  authorization,
})
const coded = (code: string) => ({ code })

describe('tokens', () => {
  const verifier = tokenVerifier(() => list)

  it.each([
    ['node-token-of-n1', { by: 'node-token', cluster: 'hepp', node: 'n1' }],
    ['token-of-alice-1', { by: 'token', uid: 2001, user: 'alice', operator: false }],
    ['token-of-adm-0001', { by: 'token', uid: 1000, user: 'adm', operator: true }],
  ])('%s', async (token, sender) => {
    expect((await verifier.verify(request(`Bearer ${token}`))).sender).toEqual(sender)
  })

  it.each([
    [undefined, 'HW_CREDENTIAL_MISSING'],
    ['', 'HW_CREDENTIAL_MISSING'],
    ['Bearer', 'HW_CREDENTIAL_INVALID'],
    ['Bearer another-token-0', 'HW_CREDENTIAL_INVALID'],
    [`Bearer ${sha256Hex('token-of-alice-1')}`, 'HW_CREDENTIAL_INVALID'],
    ['Bearer token-of-alice-1 ', 'HW_CREDENTIAL_INVALID'],
    ['MUNGE MUNGE:AAAA:', 'HW_CREDENTIAL_INVALID'],
    ['Basic YWxpY2U6eA==', 'HW_CREDENTIAL_INVALID'],
    [`Bearer ${'x'.repeat(100_000)}`, 'HW_CREDENTIAL_INVALID'],
  ])('%s: %s', async (authorization, code) => {
    await expect(verifier.verify(request(authorization))).rejects.toMatchObject(coded(code))
  })

  it.each([
    ['admin root:0 x', 'tokens:1: the role must be node, user or operator ("admin")'],
    ['node n1 x', 'tokens:1: a node is named CLUSTER/NODE ("n1")'],
    ['user alice x', 'tokens:1: a person is named USER:UID ("alice")'],
    ['user alice:4294967295 x', 'tokens:1: a person is named USER:UID ("alice:4294967295")'],
    ['\nuser alice:1', 'tokens:2: must be ROLE NAME SHA256HEX'],
    [
      'user alice:1 secret-token',
      /tokens:1: the digest of "alice:1" must be 64 lower-case hex digits/,
    ],
    [
      `user a:1 ${sha256Hex('t')}\nnode h/n ${sha256Hex('t')}`,
      'tokens:2: "h/n" has the same token as another line',
    ],
  ])('refuses the list %j', (text, message) => {
    expect(() => parseTokenList(text, 'tokens')).toThrow(message)
  })

  it('never quotes what may be a token', () => {
    expect(() => parseTokenList('user alice:1 secret-token', 'tokens')).not.toThrow(/secret-token/)
  })
})

describe('MUNGE credentials', () => {
  const verifier = mungeVerifier({ clock: systemClock, munged: { socketPath: '/nonexistent' } })

  it.each([
    [undefined, 'HW_CREDENTIAL_MISSING'],
    ['Bearer token-of-alice-1', 'HW_CREDENTIAL_INVALID'],
    ['MUNGE', 'HW_CREDENTIAL_INVALID'],
    ['MUNGE x', 'HW_CREDENTIAL_INVALID'],
    [`MUNGE MUNGE:${'A'.repeat(28_000)}:`, 'HW_CREDENTIAL_INVALID'],
    ['MUNGE MUNGE:AAAA:', 'HW_MUNGE_UNAVAILABLE'],
    ['MUNGE MUNGE:AAB=:', 'HW_CREDENTIAL_INVALID'], // the same bytes as AAA=
  ])('%s: %s', async (authorization, code) => {
    await expect(verifier.verify(request(authorization))).rejects.toMatchObject(coded(code))
  })

  it('are made around the whole request line and the body', () => {
    const bound = { method: 'POST', target: '/v1/records?a=%20b', bodySha256: sha256Hex('{}') }
    expect(parseRequestLine(requestLine(bound))).toEqual(bound)
    for (const other of ['', 'x', 'hepwrap1 GET /', 'hepwrap2 GET / 00', 'hepwrap1 GET / 00 more'])
      expect(parseRequestLine(other)).toBeUndefined()
  })
})

it('a used credential is known until nobody would take it any more', () => {
  let nowMs = 0
  const used = rememberUsed({ nowMs: () => nowMs, monotonicMs: () => nowMs })
  expect(used.isFirst('a', 300_000)).toBe(true)
  expect(used.isFirst('a', 300_000)).toBe(false)
  expect(used.isFirst('b', 300_000)).toBe(true)
  nowMs = 599_999
  expect(used.isFirst('a', 300_000)).toBe(false)
  nowMs = 600_001
  expect(used.isFirst('a', 300_000)).toBe(true)
})
