// One user's refusals fill no disk: so many an hour are recorded, the last is told apart, and each user has his own.
import { expect, it } from 'vitest'
import { createRefusalBudget } from '../../../src/run/refusal-budget.js'
import { fakeClock } from './fakes.js'

it('records so many a user and hour, and says which is the last', () => {
  const clock = fakeClock()
  const budget = createRefusalBudget(clock, 3)
  const spend = (uid: number, times: number) =>
    Array.from({ length: times }, () => budget.spend(uid))
  expect(spend(1, 5)).toEqual(['recorded', 'recorded', 'last', 'spent', 'spent'])
  expect(spend(2, 2)).toEqual(['recorded', 'recorded'])
  clock.advance(3_600_000)
  expect(spend(1, 3)).toEqual(['recorded', 'recorded', 'last'])
  expect(spend(2, 4)).toEqual(['recorded', 'recorded', 'last', 'spent'])
})
