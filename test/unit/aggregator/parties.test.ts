// Senders and what they may: nodes by address or token, persons by uid, operators by name; browsers by link and cookie.
import { describe, expect, it } from 'vitest'
import { keptFor } from '../../../src/base/kept-for.js'
import { createNodeAddresses } from '../../../src/aggregator/node-address.js'
import { createParties, scopeOf } from '../../../src/aggregator/party.js'
import { createSessions, SESSION_SECONDS } from '../../../src/aggregator/sessions.js'

/** A clock that the test turns. */
function handClock() {
  const clock = { ms: 0, nowMs: () => clock.ms, monotonicMs: () => clock.ms }
  return clock
}

const N1 = { cluster: 'hepp', node: 'n1' }
const names: Record<number, string> = { 2001: 'alice', 1000: 'adm' }
const partyOf = createParties({
  operators: ['root', 'adm'],
  clusters: ['hepp'],
  addresses: createNodeAddresses({
    clock: handClock(),
    resolve: async (name) => (name === 'n1' ? ['10.0.0.1', '10.1.0.1'] : []),
  }),
  nameOf: async (uid) => names[uid],
})
const munge = (uid: number, origin = '10.1.0.1') => partyOf({ by: 'munge', uid, origin })
const mismatch = { code: 'HW_NODE_MISMATCH' }

describe('a party by MUNGE', () => {
  it('is an operator by name, and else sees his own', async () => {
    expect(scopeOf(await munge(2001))).toEqual({ uid: 2001 })
    expect(scopeOf(await munge(1000))).toEqual({ uid: undefined })
    expect(scopeOf(await munge(4711))).toEqual({ uid: 4711 })
    expect(await munge(4711)).toMatchObject({ user: null, isOperator: false })
  })

  it('is a node only as root, and only at one of its addresses', async () => {
    await (await munge(0)).mayWriteFor(N1)
    await (await munge(0)).mayWriteFor(undefined)
    await expect((await munge(0, '10.0.0.2')).mayWriteFor(N1)).rejects.toThrow(
      'the credential was made at 10.0.0.2, and node "n1" is 10.0.0.1, 10.1.0.1 here',
    )
    await expect((await munge(0, '127.0.1.1')).mayWriteFor(N1)).rejects.toThrow(/munged --origin/)
    await expect((await munge(0)).mayWriteFor({ ...N1, node: 'n2' })).rejects.toThrow(
      /node "n2" has no address here/,
    )
    await expect((await munge(0)).mayWriteFor({ ...N1, cluster: 'hpc' })).rejects.toThrow(
      'cluster "hpc" is none of [auth] clusters',
    )
    for (const uid of [2001, 1000])
      for (const place of [N1, undefined])
        await expect((await munge(uid)).mayWriteFor(place)).rejects.toMatchObject(mismatch)
  })

  it('is nobody while the directory of users does not answer', async () => {
    const lost = createParties({
      operators: [],
      clusters: [],
      addresses: undefined,
      nameOf: () => Promise.reject(new Error('LDAP is down')),
    })
    await expect(lost({ by: 'munge', uid: 2001, origin: '' })).rejects.toMatchObject({
      code: 'HW_AGGREGATOR_BUSY',
    })
    const root = await lost({ by: 'munge', uid: 0, origin: 'x' })
    await root.mayWriteFor(N1) // node_address = "any"
  })
})

describe('a party by token', () => {
  it('of a node writes for it alone, and reads nothing', async () => {
    const party = await partyOf({ by: 'node-token', ...N1 })
    await party.mayWriteFor(N1)
    await party.mayWriteFor(undefined)
    await expect(party.mayWriteFor({ cluster: 'other', node: 'n1' })).rejects.toMatchObject(
      mismatch,
    )
    expect(() => scopeOf(party)).toThrow(/token to write with, not to read/)
  })

  it('of a person reads as its role says, and writes nothing', async () => {
    const user = await partyOf({ by: 'token', uid: 1000, user: 'adm', operator: false })
    expect(scopeOf(user)).toEqual({ uid: 1000 })
    await expect(user.mayWriteFor(N1)).rejects.toMatchObject(mismatch)
    const root = await partyOf({ by: 'token', uid: 0, user: 'root', operator: true })
    expect(scopeOf(root)).toEqual({ uid: undefined })
    await expect(root.mayWriteFor(N1)).rejects.toMatchObject(mismatch)
  })
})

describe('addresses of nodes', () => {
  const mismatched = (error: unknown) => (error as { code: string }).code === 'HW_NODE_MISMATCH'

  it('are asked for once in five minutes, and while that goes on the old ones are good', async () => {
    const clock = handClock()
    let asked = 0
    let answer: () => void = () => undefined
    const addresses = createNodeAddresses({
      clock,
      resolve: async () => {
        asked++
        if (asked > 1) await new Promise<void>((resolve) => (answer = resolve))
        return ['10.0.0.1']
      },
    })
    await addresses.check('n1', '10.0.0.1')
    clock.ms = 300_000
    await addresses.check('n1', '10.0.0.1')
    expect(asked).toBe(1)
    clock.ms = 300_001
    await addresses.check('n1', '10.0.0.1')
    await addresses.check('n1', '10.0.0.1')
    expect(asked).toBe(2)
    answer()
    await new Promise((resolve) => setImmediate(resolve))
    clock.ms = 600_000
    await addresses.check('n1', '10.0.0.1')
    expect(asked).toBe(2)
  })

  it('that are others now are seen within fifteen seconds', async () => {
    const clock = handClock()
    let address = '10.0.0.1'
    const addresses = createNodeAddresses({ clock, resolve: async () => [address] })
    await addresses.check('n1', '10.0.0.1')
    address = '10.0.0.9'
    await expect(addresses.check('n1', '10.0.0.9')).rejects.toSatisfy(mismatched)
    clock.ms = 15_001
    await addresses.check('n1', '10.0.0.9')
  })

  it('that nobody tells are waited for, not for ever, and only two at once', async () => {
    const open: string[] = []
    const addresses = createNodeAddresses({
      clock: handClock(),
      waitMs: 20,
      resolve: (name) => {
        open.push(name)
        return new Promise(() => undefined)
      },
    })
    const checks = ['n1', 'n2', 'n3'].map((name) => addresses.check(name, '10.0.0.1'))
    for (const check of await Promise.allSettled(checks))
      expect(check).toMatchObject({ status: 'rejected', reason: { code: 'HW_AGGREGATOR_BUSY' } })
    expect(open).toEqual(['n1', 'n2'])
  })

  it('that one host asks for without end keep out nobody who is known', async () => {
    const clock = handClock()
    const open: string[] = []
    const addresses = createNodeAddresses({
      clock,
      waitMs: 20,
      resolve: (name) => {
        open.push(name)
        return name === 'n1' ? Promise.resolve(['10.0.0.1']) : new Promise(() => undefined)
      },
    })
    await addresses.check('n1', '10.0.0.1')
    clock.ms = 301_000
    const evil = Array.from({ length: 100 }, (_, index) =>
      addresses.check(`x${index}.evil.example`, '10.0.0.66'),
    )
    const settled = await Promise.allSettled(evil)
    expect(settled.every(({ status }) => status === 'rejected')).toBe(true)
    expect(open.length).toBeLessThanOrEqual(3)
    await addresses.check('n1', '10.0.0.1')
  })
})

describe('sessions', () => {
  it('come from a code that works once within a minute, and last half a day', async () => {
    const clock = handClock()
    const sessions = createSessions(clock)
    const alice = await munge(2001)
    const code = sessions.offer(alice)
    expect(sessions.partyOf(code)).toBeUndefined()
    const cookie = sessions.redeem(code) ?? ''
    expect(sessions.partyOf(cookie)).toBe(alice)
    expect(sessions.redeem(code)).toBeUndefined()
    expect(sessions.redeem('')).toBeUndefined()
    const late = sessions.offer(alice)
    clock.ms = 60_001
    expect(sessions.redeem(late)).toBeUndefined()
    clock.ms = SESSION_SECONDS * 1000 - 1
    expect(sessions.partyOf(cookie)).toBe(alice)
    clock.ms = SESSION_SECONDS * 1000
    expect(sessions.partyOf(cookie)).toBeUndefined()
  })

  it('of one are sixteen at most, his oldest go, and nobody else’s', async () => {
    const sessions = createSessions(handClock())
    const [alice, bob] = [await munge(2001), await munge(2002)]
    const bobs = sessions.redeem(sessions.offer(bob)) ?? ''
    const first = sessions.redeem(sessions.offer(alice)) ?? ''
    const codes = Array.from({ length: 1000 }, () => sessions.offer(alice))
    expect(sessions.redeem(codes[0]!)).toBeUndefined()
    expect(codes.filter((code) => sessions.redeem(code) !== undefined)).toHaveLength(16)
    expect(sessions.partyOf(first)).toBeUndefined()
    expect(sessions.partyOf(bobs)).toBe(bob)
    sessions.clear()
    expect(sessions.partyOf(bobs)).toBeUndefined()
  })

  it('of all are no more than fit: the next is refused, and none is ended', async () => {
    const sessions = createSessions(handClock())
    const first = sessions.offer(await munge(100_000))
    for (let uid = 100_001; uid < 110_000; uid++) sessions.offer(await munge(uid))
    const last = await munge(110_000)
    expect(() => sessions.offer(last)).toThrow(/there are 10000 sessions already/)
    expect(sessions.redeem(first)).toBeDefined()
  })
})

it('an answer is kept for a while, a failure is not', async () => {
  const clock = handClock()
  let asked = 0
  const ask = keptFor(clock, 100, async () => {
    asked++
    if (asked === 1) throw new Error('not yet')
    return asked
  })
  await expect(ask()).rejects.toThrow('not yet')
  expect(await ask()).toBe(2)
  clock.ms = 99
  expect(await ask()).toBe(2)
  clock.ms = 100
  expect(await ask()).toBe(3)
})
