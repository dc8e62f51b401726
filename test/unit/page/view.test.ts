import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { MEASURES } from '../../../src/page/measures.js'
import {
  DEFAULT_VIEW,
  FILTERS,
  isPlainName,
  listsOf,
  searchOf,
  STACKS,
  type View,
  viewOf,
} from '../../../src/page/view.js'

const name = fc.string({ minLength: 1, maxLength: 40, unit: 'binary' }).map((text) => text.trim())
const views: fc.Arbitrary<View> = fc.record({
  job: fc.option(
    fc.nat().map((job) => String(job)),
    { nil: undefined },
  ),
  range: fc.constantFrom<View['range']>(
    { preset: '24h' },
    { preset: '30d' },
    { from: '2026-02-28', to: '2026-11-20' },
  ),
  measure: fc.constantFrom(...MEASURES),
  stack: fc.constantFrom(...STACKS),
  per: fc.constantFrom<View['per']>('auto', 'hour', 'month'),
  filters: fc
    .dictionary(fc.constantFrom(...FILTERS), name)
    .map((filters) =>
      Object.fromEntries(Object.entries(filters).filter(([, text]) => text !== '')),
    ),
})

describe('an address', () => {
  it('says the whole view, whatever users called their images', () => {
    fc.assert(
      fc.property(views, (view) => {
        expect(viewOf(searchOf(view))).toEqual(view)
      }),
    )
  })

  it('is short for what everybody sees first', () => {
    expect(searchOf(DEFAULT_VIEW)).toBe('?')
    expect(viewOf('')).toEqual(DEFAULT_VIEW)
  })

  it.each([
    '?last=10y&measure=none&by=uid&per=second&from=2026-11-31&to=x',
    '?measure=__proto__&by=constructor&last=toString',
    '?user=&image=%20&from=2026-01-01',
  ])('that makes no sense shows what everybody sees first: %s', (search) => {
    expect(viewOf(search)).toEqual(DEFAULT_VIEW)
  })

  it.each(['', 'x', '1;2', '../1', '12345678901'])(
    'with the job "%s" asks for its number',
    (job) => {
      expect(viewOf(`?job=${encodeURIComponent(job)}`).job).toBe('')
    },
  )
})

describe('a name as a filter', () => {
  it.each(['alice', 'registry.example/a/b:1', '<img src=x>', 'with space'])(
    '"%s" means itself',
    (text) => expect(isPlainName(text)).toBe(true),
  )
  it.each(['a*', 'a?', 'a,b', '', ' a', null, undefined])('%j would mean more or less', (text) =>
    expect(isPlainName(text)).toBe(false),
  )
})

describe('a list of names', () => {
  it.each([
    [[], []],
    [['aaaa'], ['aaaa']],
    [['aaaa', 'bbbb'], ['aaaa,bbbb']],
    [
      ['aaaa', 'bbbbb', 'c'],
      ['aaaa', 'bbbbb,c'],
    ],
    [
      ['aaaaaaaaaaaa', 'b', 'c'],
      ['aaaaaaaaaaaa', 'b,c'],
    ],
  ])('%j of at most nine characters: %j', (names, lists) => {
    expect(listsOf(names, 9)).toEqual(lists)
  })
})
