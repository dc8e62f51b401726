// What was found unsigned is known for a while, and of so many images.
import { expect, it } from 'vitest'
import { rememberUnsigned } from '../../../src/signature/lately-unsigned.js'
import { stoppedClock } from './demands.js'

it('knows the last ones, for ten seconds from when each was found', () => {
  const clock = stoppedClock()
  const lately = rememberUnsigned(clock, 2)
  const known = () => ['a', 'b', 'c'].map((question) => lately.find(question))
  lately.remember('a', 'x')
  clock.advance(5000)
  lately.remember('b', 'y')
  expect(known()).toEqual(['x', 'y', undefined])
  lately.remember('a', 'z')
  lately.remember('c', 'y')
  expect(known()).toEqual(['z', undefined, 'y'])
  clock.advance(9999)
  expect(known()).toEqual(['z', undefined, 'y'])
  clock.advance(1)
  expect(known()).toEqual([undefined, undefined, undefined])
})
