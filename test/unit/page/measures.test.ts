import { describe, expect, it } from 'vitest'
import {
  efficiencyOf,
  formatAmount,
  formatBytes,
  formatDuration,
  formatMemory,
  formatShare,
  MEASURES,
  withUnit,
} from '../../../src/page/measures.js'
import { NOTHING } from '../../../src/page/stack.js'
import { UsageQuery } from '../../../src/wire/report-api.js'

const sums = {
  ...NOTHING,
  runs: 3,
  failed: 1,
  elapsed_ms: 2 * 3_600_000,
  cpu_usec: 1.5 * 3.6e9,
  alloc_cpu_usec: 4 * 3.6e9,
  used_cpu_usec: 1e9 * 3.6,
  memory_mib_s: 2048 * 3600,
  io_read_bytes: 2e12,
  io_write_bytes: 1e12,
}

describe('a measure', () => {
  it.each([
    ['cpu', '1.5 h'],
    ['allocated', '4 h'],
    ['wall', '2 h'],
    ['memory', '2 GiB·h'],
    ['io', '3 TB'],
    ['runs', '3'],
    ['failed', '1'],
  ])('%s of some sums is %s', (id, text) => {
    const measure = MEASURES.find((one) => one.id === id)
    expect(measure && withUnit(measure, measure.of(sums))).toBe(text)
  })

  it('is one by which the aggregator sorts', () => {
    const pattern = new RegExp(UsageQuery.properties.sort.pattern ?? '')
    expect(MEASURES.filter(({ sort }) => !pattern.test(sort))).toEqual([])
  })

  it('of efficiency needs records that know what was allocated', () => {
    expect(efficiencyOf(sums)).toBe(0.25)
    expect(efficiencyOf(NOTHING)).toBeUndefined()
  })
})

describe('numbers are written with the digits that help', () => {
  it.each([
    [formatAmount, 0, '0'],
    [formatAmount, 8.1e-7, '<0.001'],
    [formatAmount, 0.04217, '0.042'],
    [formatAmount, 8.34, '8.3'],
    [formatAmount, 1204.4, '1,204'],
    [formatAmount, 1_234_567, '1.235M'],
    [formatBytes, 999, '999 B'],
    [formatBytes, 1000, '1 kB'],
    [formatBytes, 3.14e12, '3.1 TB'],
    [formatBytes, 5e21, '5,000 EB'],
    [formatMemory, 1024 ** 3 * 1.5, '1.5 GiB'],
    [formatMemory, 0, '0 B'],
    [formatShare, 0.125, '12.5%'],
    [formatShare, 0.0001, '<0.1%'],
    [formatShare, 0, '0%'],
    [formatDuration, 340, '340 ms'],
    [formatDuration, 12_500, '12.5 s'],
    [formatDuration, 200_000, '3 min 20 s'],
    [formatDuration, 5 * 3_600_000 + 7 * 60_000, '5 h 07 min'],
    [formatDuration, 51 * 3_600_000, '2 d 3 h'],
  ] as const)('%o of %d: %s', (format, amount, text) => expect(format(amount)).toBe(text))
})
