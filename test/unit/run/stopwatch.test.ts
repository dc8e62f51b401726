// The parts of a launch add up, and the engine's are told from ours.
import { expect, it } from 'vitest'
import { startStopwatch } from '../../../src/run/stopwatch.js'
import { fakeClock } from './fakes.js'

it('times each part from the last, and tells of it', () => {
  const clock = fakeClock()
  const told: [string, number][] = []
  const watch = startStopwatch(clock, (part, ms) => void told.push([part, ms]))
  for (const [part, ms] of [
    ['admit', 3],
    ['image', 1000],
    ['record', 0.123],
    ['create', 8],
    ['start', 90],
    ['enter', 1],
  ] as const) {
    clock.advance(ms)
    watch.lap(part)
  }
  clock.advance(5000) // nobody's
  expect(watch.parts).toEqual({
    admit: 3,
    image: 1000,
    record: 0.12,
    create: 8,
    start: 90,
    enter: 1,
  })
  expect(told).toEqual(Object.entries(watch.parts))
  expect(watch.totalMs()).toBeCloseTo(1102.123, 2)
  expect(watch.ownMs()).toBeCloseTo(4.12, 5)
})
