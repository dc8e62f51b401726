// Times as sacct reads them.
import { describe, expect, it } from 'vitest'
import { parseTimePoint } from '../../../src/cli/time-point.js'

const NOW = Date.parse('2026-03-10T12:34:56.789Z')
const at = (text: string) => parseTimePoint('--since', text, NOW)
const local = (...parts: [number, number, number, number?, number?, number?]) =>
  new Date(...parts).toISOString()

describe('a point in time', () => {
  it.each([
    ['now', '2026-03-10T12:34:56.789Z'],
    ['now-7days', '2026-03-03T12:34:56.789Z'],
    ['now-1day', '2026-03-09T12:34:56.789Z'],
    ['now-30', '2026-03-10T12:34:26.789Z'],
    ['now+2hours', '2026-03-10T14:34:56.789Z'],
    ['now-1week', '2026-03-03T12:34:56.789Z'],
    ['now-90minutes', '2026-03-10T11:04:56.789Z'],
    ['2026-01-31T12:00:00Z', '2026-01-31T12:00:00.000Z'],
    ['2026-01-31t12:00:00.5z', '2026-01-31T12:00:00.500Z'],
    ['2026-01-31T12:00:00+02:00', '2026-01-31T10:00:00.000Z'],
    ['2026-01-31 12:00:00-01:30', '2026-01-31T13:30:00.000Z'],
    ['2026-01-31', local(2026, 0, 31)],
    ['2026-01-31T12:05', local(2026, 0, 31, 12, 5)],
    ['2026-01-31T12:05:07', local(2026, 0, 31, 12, 5, 7)],
    ['2024-02-29', local(2024, 1, 29)],
    ['today', new Date(new Date(NOW).setHours(0, 0, 0, 0)).toISOString()],
  ])('%s', (text, expected) => expect(at(text)).toBe(expected))

  it.each([
    '',
    'yesterday',
    'now-',
    'now-7years',
    'now - 7days',
    '2026',
    '2026-1-1',
    '2026-13-01',
    '2026-02-29',
    '2026-04-31',
    '2026-01-00',
    '2026-01-31T24:00',
    '2026-01-31T12',
    '2026-01-31T12:60',
    '2026-01-31T12:00:00+2',
    '1960-01-01',
    'now-999999999weeks',
    '2026-01-31T12:00:00Z; drop',
  ])('is not %j', (text) => expect(() => at(text)).toThrow(/^--since ".*": not a time like/))
})
