// Ids and signals from texts: what is one, and that nothing else is.
import { constants } from 'node:os'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { asHepwrapError, HepwrapError, REASONS } from '../../../src/base/errors.js'
import { isRunId, newRunId, parseJobId } from '../../../src/base/ids.js'
import { signalNumber } from '../../../src/base/signals.js'

describe('a run id', () => {
  it('is 32 lower-case hex digits, and never the same twice', () => {
    const ids = Array.from({ length: 1000 }, newRunId)
    expect(ids.every(isRunId)).toBe(true)
    expect(new Set(ids).size).toBe(1000)
  })

  it.each([
    '',
    'a'.repeat(31),
    'a'.repeat(33),
    'A'.repeat(32),
    `${'a'.repeat(32)}\n`,
    `../${'a'.repeat(29)}`,
    'g'.repeat(32),
  ])('%j is none', (text) => expect(isRunId(text)).toBe(false))
})

describe('a job id', () => {
  it.each([
    ['1', 1],
    ['42', 42],
    ['4294967293', 4294967293],
  ])('%s', (text, id) => expect(parseJobId(text)).toBe(id))

  // NO_VAL and INFINITE of slurm.h are no jobs.
  it.each([
    '',
    '0',
    '-1',
    '01',
    '+1',
    '1.0',
    '1e3',
    '0x1',
    ' 1',
    '1\n',
    '٣',
    '4294967294',
    '4294967295',
    '99999999999',
    '42_7',
    '42+1',
  ])('%j is none', (text) => expect(parseJobId(text)).toBeUndefined())
})

describe('a signal', () => {
  it('is a name with or without SIG, in any case, or a number', () => {
    for (const [name, number] of Object.entries(constants.signals)) {
      for (const text of [name, name.toLowerCase(), name.slice(3)])
        expect(signalNumber(text)).toBe(number)
    }
    expect(signalNumber('64')).toBe(64)
  })

  it.each([
    '',
    '0',
    '65',
    '100',
    '-9',
    '9.0',
    'SIG',
    'SIGSIGTERM',
    'TERM ',
    '__proto__',
    'constructor',
    'SIGCONSTRUCTOR',
  ])('%j is none', (text) => expect(signalNumber(text)).toBeUndefined())

  it('is a number of Linux or nothing, for any text', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const number = signalNumber(text)
        expect(
          number === undefined || (Number.isInteger(number) && number >= 1 && number <= 64),
        ).toBe(true)
      }),
    )
  })
})

describe('an error', () => {
  it('has the status of its code', () => {
    for (const [code, { http }] of Object.entries(REASONS))
      expect(new HepwrapError(code as keyof typeof REASONS, 'x').statusCode).toBe(http)
  })

  it('that is not ours becomes a fault of ours with its cause', () => {
    const cause = new TypeError('x is not a function')
    expect(asHepwrapError(cause)).toMatchObject({
      code: 'HW_INTERNAL',
      message: cause.message,
      cause,
    })
    for (const thrown of [undefined, null, 'text', 7, {}])
      expect(asHepwrapError(thrown).code).toBe('HW_INTERNAL')
    const ours = new HepwrapError('HW_USAGE', 'x')
    expect(asHepwrapError(ours)).toBe(ours)
  })
})
