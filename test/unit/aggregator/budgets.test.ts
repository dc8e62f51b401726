// Memory that is given out, and questions that may be open: never more than there is, and all of it comes back.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createArrivalBudget, createOpenBudget } from '../../../src/aggregator/byte-budget.js'
import { createReaders } from '../../../src/aggregator/readers.js'

describe('bodies on their way', () => {
  it('have room, and no sender has all of it', () => {
    const budget = createArrivalBudget(100, 40)
    const first = budget.take(40, 'a')
    expect(first).toBeDefined()
    expect(budget.take(1, 'a')).toBeUndefined()
    expect(budget.take(40, 'b')).toBeDefined()
    expect(budget.take(30, 'c')).toBeUndefined()
    first?.()
    first?.()
    expect(budget.inUse()).toBe(40)
    expect(budget.take(40, 'a')).toBeDefined()
  })

  it('never hold more than there is, and give back what they took', () => {
    const action = fc.record({ bytes: fc.nat(60), sender: fc.constantFrom('a', 'b', 'c') })
    fc.assert(
      fc.property(fc.array(action), (actions) => {
        const budget = createArrivalBudget(100, 70)
        const given = actions.map(({ bytes, sender }) => budget.take(bytes, sender))
        expect(budget.inUse()).toBeLessThanOrEqual(100)
        given.forEach((back) => back?.())
        expect(budget.inUse()).toBe(0)
      }),
    )
  })
})

describe('bodies that are unpacked', () => {
  it('wait for their turn, in order, and take no more than they need', async () => {
    const budget = createOpenBudget(100)
    const order: string[] = []
    const enter = async (name: string, bytes: number) => {
      const room = await budget.reserve(bytes, 1000)
      order.push(name)
      return room
    }
    const first = await enter('first', 80)
    const large = enter('large', 60)
    const small = enter('small', 10)
    expect(order).toEqual(['first'])
    first.shrinkTo(30)
    await Promise.all([large, small])
    expect(order).toEqual(['first', 'large', 'small'])
    expect(budget.inUse()).toBe(100)
    for (const room of [first, await large, await small]) room.release()
    expect(budget.inUse()).toBe(0)
  })

  it('are not kept waiting without end, and who left takes nothing', async () => {
    const budget = createOpenBudget(100)
    const first = await budget.reserve(100, 1000)
    await expect(budget.reserve(1, 10)).rejects.toMatchObject({ code: 'HW_AGGREGATOR_BUSY' })
    first.release()
    expect(budget.inUse()).toBe(0)
  })
})

it('questions of one party are bounded, of others not by his', () => {
  const readers = createReaders(2)
  const leave = readers.enter('a')
  readers.enter('a')
  expect(() => readers.enter('a')).toThrow(/a has 2 questions open/)
  readers.enter('b')
  leave()
  readers.enter('a')
})
