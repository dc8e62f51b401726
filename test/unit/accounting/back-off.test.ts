// How long the forwarder waits after a fault: longer each time up to a ceiling, spread, and never less than it was asked to.
import { describe, expect, it } from 'vitest'
import { CEILING_MS, createBackOff } from '../../../src/accounting/back-off.js'

describe('the wait after a fault', () => {
  it('doubles up to the ceiling, and begins anew', () => {
    const backOff = createBackOff(() => 1)
    const waits = Array.from({ length: 12 }, () => backOff.next(undefined))
    expect(waits.slice(0, 4)).toEqual([1000, 2000, 4000, 8000])
    expect(waits.slice(-2)).toEqual([CEILING_MS, CEILING_MS])
    backOff.reset()
    expect(backOff.next(undefined)).toBe(1000)
  })

  it('is anything up to that, so that no two nodes come together, but never nothing', () => {
    const waits = [0, 0.5, 1].map((luck) => {
      const backOff = createBackOff(() => luck)
      for (let fault = 0; fault < 5; fault++) backOff.next(undefined)
      return backOff.next(undefined)
    })
    expect(waits).toEqual([100, 16_000, 32_000])
  })

  it('is what the aggregator asks for, or a little more', () => {
    expect(createBackOff(() => 0).next(30_000)).toBe(30_000)
    expect(createBackOff(() => 1).next(30_000)).toBe(36_000)
    const backOff = createBackOff(() => 1)
    const waits = Array.from({ length: 12 }, () => backOff.next(1000))
    expect([waits[0], waits[3], waits[11]]).toEqual([1200, 8000, CEILING_MS])
  })
})
