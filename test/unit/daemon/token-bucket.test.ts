import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Clock } from '../../../src/base/clock.js'
import { createTokenBuckets } from '../../../src/daemon/token-bucket.js'

const ALICE = 2001
const BOB = 2002
// performance.now() is a fake timer's, too.
const clock: Clock = { nowMs: () => Date.now(), monotonicMs: () => performance.now() }

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

function buckets(perSecond: number, burst: number) {
  const begun: string[] = []
  const slowed: number[] = []
  const made = createTokenBuckets({
    perSecond,
    burst,
    clock,
    onSlowed: (uid) => void slowed.push(uid),
  })
  return {
    begun,
    slowed,
    enter: (uid: number, name: string) => made.enter(uid, () => void begun.push(name)),
  }
}

const many = (count: number, prefix = '') =>
  Array.from({ length: count }, (_, index) => `${prefix}${index}`)

describe('a bucket', () => {
  it('lets a burst through at once, and then so many a second, in order', () => {
    const { begun, slowed, enter } = buckets(10, 3)
    for (const name of many(8)) enter(ALICE, name)
    expect(begun).toEqual(many(3))
    expect(slowed).toEqual([ALICE])
    vi.advanceTimersByTime(99)
    expect(begun).toEqual(many(3))
    vi.advanceTimersByTime(1)
    expect(begun).toEqual(many(4))
    vi.advanceTimersByTime(300)
    expect(begun).toEqual(many(7))
    vi.advanceTimersByTime(10_000)
    expect(begun).toEqual(many(8))
  })

  it('never lets anybody pass who came later, though a token has come', () => {
    const { begun, enter } = buckets(10, 1)
    for (const name of ['first', 'second']) enter(ALICE, name)
    vi.setSystemTime(Date.now() + 1000)
    enter(ALICE, 'third')
    vi.advanceTimersByTime(1000)
    expect(begun).toEqual(['first', 'second', 'third'])
  })

  it('is full again after a while, and never more than full', () => {
    const { begun, enter } = buckets(2, 4)
    for (const name of many(4, 'a')) enter(ALICE, name)
    vi.advanceTimersByTime(3_600_000)
    for (const name of many(6, 'b')) enter(ALICE, name)
    expect(begun).toEqual([...many(4, 'a'), ...many(4, 'b')])
  })

  it('is a user’s own: another is served while one waits', () => {
    const { begun, slowed, enter } = buckets(1, 1)
    for (const name of many(100)) enter(ALICE, name)
    enter(BOB, 'bob')
    expect(begun).toEqual(['0', 'bob'])
    expect(slowed).toEqual([ALICE])
  })

  it('gives no token to who has gone', () => {
    const { begun, enter } = buckets(1, 1)
    enter(ALICE, 'first')
    const goers = many(50).map((name) => enter(ALICE, name))
    enter(ALICE, 'last')
    for (const leave of goers) leave()
    vi.advanceTimersByTime(1000)
    expect(begun).toEqual(['first', 'last'])
  })

  it('keeps one timer, however often its waiters change', () => {
    const { enter } = buckets(1, 1)
    enter(ALICE, 'first')
    for (const name of many(100)) enter(ALICE, name)()
    expect(vi.getTimerCount()).toBe(1)
    vi.advanceTimersByTime(1000)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('keeps up with a rate that no timer has', () => {
    const { begun, enter } = buckets(1_000_000, 1)
    for (const name of many(5000)) enter(ALICE, name)
    vi.advanceTimersByTime(10)
    expect(begun).toHaveLength(5000)
  })

  it('of thousands of uids is forgotten once it is full: whoever comes again finds a full one', () => {
    const { begun, enter } = buckets(10, 2)
    for (let uid = 100_000; uid < 105_000; uid++) enter(uid, String(uid))
    vi.advanceTimersByTime(1000)
    for (const name of ['a', 'b', 'c']) enter(100_000, name)
    expect(begun.slice(-2)).toEqual(['a', 'b'])
  })
})
