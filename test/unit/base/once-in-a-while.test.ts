import { expect, it } from 'vitest'
import { onceInAWhile } from '../../../src/base/once-in-a-while.js'
import { fakeClock } from '../run/fakes.js'

it('is once a while of each', () => {
  const clock = fakeClock()
  const may = onceInAWhile(clock, 1000)
  expect([may('a'), may('a'), may('b')]).toEqual([true, false, true])
  clock.advance(999)
  expect([may('a'), may('b')]).toEqual([false, false])
  clock.advance(1)
  expect([may('b'), may('a'), may('a'), may('b')]).toEqual([true, true, false, false])
})
