import { expect, it } from 'vitest'
import { newestOnly } from '../../../src/run/newest-only.js'

it('does the first and the newest of many, one at a time', async () => {
  const done: number[] = []
  let atOnce = 0
  const ask = newestOnly(async (value: number) => {
    expect(++atOnce).toBe(1)
    await new Promise((resolve) => setTimeout(resolve, 1))
    atOnce--
    done.push(value)
  })
  const asked = Array.from({ length: 10_000 }, (_, value) => ask(value))
  await Promise.all(asked)
  expect(done).toEqual([0, 9999])
  await ask(7)
  expect(done).toEqual([0, 9999, 7])
})
