// One user's halves of requests are counted together, another's apart, and what is given back is free again.
import { expect, it } from 'vitest'
import { createUnreadLimit } from '../../../src/daemon/unread.js'

it('is counted a user, over all his connections', () => {
  const shareOf = createUnreadLimit(10)
  const [first, second, other] = [shareOf(1), shareOf(1), shareOf(2)]
  expect(first.take(6)).toBe(true)
  expect(second.take(4)).toBe(true)
  expect(second.take(1)).toBe(false)
  expect(first.take(1)).toBe(false)
  expect(other.take(10)).toBe(true)
  first.giveBack()
  first.giveBack() // once is enough
  expect(second.take(6)).toBe(true)
  expect(second.take(1)).toBe(false)
  second.giveBack()
  expect(first.take(10)).toBe(true)
  expect(first.take(0)).toBe(true)
})
