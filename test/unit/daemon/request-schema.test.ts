// Texts from a socket: whatever they are, a checked value or a refusal in one line that says which field.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { HepwrapError } from '../../../src/base/errors.js'
import { parseRequest, parseResize, parseSignal } from '../../../src/daemon/request-schema.js'
import { someRequest } from '../../support/some-request.js'

const bytes = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))

function refusal(parse: (payload: Buffer) => unknown, payload: Buffer): HepwrapError {
  try {
    parse(payload)
  } catch (thrown) {
    if (thrown instanceof HepwrapError) return thrown
    throw thrown
  }
  throw new Error('was accepted')
}

describe('a request', () => {
  it('that follows the contract comes out as it went in', () => {
    const request = someRequest({
      entrypoint: '',
      env: { A: '', 'ü b': '\n' },
      terminal: { rows: 0, columns: 65535 },
    })
    expect(parseRequest(bytes(request))).toEqual(request)
  })

  it.each(['labels', 'env', 'host_env'])('has no key in %s that escapes its rule', (field) => {
    for (const key of ['a\nb', '\u2028', '\r', ''])
      for (const value of [5, null, {}, ['x']])
        expect(
          refusal(parseRequest, bytes({ ...someRequest(), [field]: { [key]: value } })).code,
        ).toBe('HW_REQUEST_INVALID')
    const long = { ...someRequest(), [field]: { ['k'.repeat(4097)]: '' } }
    expect(refusal(parseRequest, bytes(long)).code).toBe('HW_REQUEST_INVALID')
  })

  it.each([
    ['nothing', ''],
    ['half of it', JSON.stringify(someRequest()).slice(0, -1)],
    ['two of it', JSON.stringify(someRequest()) + JSON.stringify(someRequest())],
    ['a word', 'hello'],
    ['NaN', '{"image": NaN}'],
    ['a comment', '{} // x'],
    ['NUL bytes', '\0\0\0\0'],
  ])('that is no JSON is refused: %s', (_what, text) => {
    expect(refusal(parseRequest, bytes(text)).code).toBe('HW_REQUEST_INVALID')
  })

  it.each([
    [Buffer.from([0xff, 0xfe, 0x7b, 0x7d])],
    [Buffer.from('{"image":"a\xffb"}', 'latin1')],
    [Buffer.from([0x22, 0xc0, 0xaf, 0x22])], // "/" in two bytes
    [Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])], // half a surrogate pair
  ])('that is no UTF-8 is refused: %j', (payload) => {
    expect(refusal(parseRequest, payload).message).toBe('the request is not JSON in UTF-8')
  })

  it.each([[null], [[]], ['"text"'], [7], [true]])('that is no object is refused: %j', (value) => {
    expect(refusal(parseRequest, bytes(value)).code).toBe('HW_REQUEST_INVALID')
  })

  it.each<[string, object]>([
    ['an unknown field', { user: 'root' }],
    ['a user', { uid: 0 }],
    ['a group', { gid: 0 }],
    ['a job', { job_id: 1 }],
    ['HostConfig', { HostConfig: { Privileged: true } }],
    ['privileged', { privileged: true }],
    ['a wrong type', { image: 7 }],
    ['a wrong type of a list', { command: 'ls' }],
    ['a wrong type in a list', { command: ['ls', 7] }],
    ['null for a text', { image: null }],
    ['a text for a flag', { tty: 'false' }],
    ['a text for a number', { stop_timeout_s: '3' }],
    ['a fraction', { stop_timeout_s: 1.5 }],
    [
      'a negative descriptor',
      { mounts: [{ source: '/', fd: -1, target: '/x', read_only: true, origin: 'user' }] },
    ],
    [
      'another origin',
      { mounts: [{ source: '/', fd: 3, target: '/x', read_only: true, origin: 'site' }] },
    ],
    [
      'an unknown field of a mount',
      {
        mounts: [
          { source: '/', target: '/x', read_only: true, origin: 'user', propagation: 'shared' },
        ],
      },
    ],
    ['another network', { network: 'container:x' }],
    ['another pull', { pull: 'sometimes' }],
    [
      'more mounts than there are',
      { mounts: Array(257).fill({ source: '/', target: '/x', read_only: true, origin: 'user' }) },
    ],
    ['too long a name', { name: 'x'.repeat(256) }],
    ['too many words', { command: Array(65537).fill('') }],
    ['a number for an environment value', { env: { A: 1 } }],
    ['an environment that is a list', { host_env: ['A=1'] }],
    ['no cpus at all', { cpus: 0 }],
    ['infinite memory', { memory_bytes: 1e999 }],
  ])('with %s is refused', (_what, fields) => {
    const { code, message } = refusal(parseRequest, bytes({ ...someRequest(), ...fields }))
    expect(code).toBe('HW_REQUEST_INVALID')
    expect(message).not.toContain('\n')
    expect(message.length).toBeLessThan(800)
  })

  it.each(Object.keys(someRequest()))('without its %s is refused', (name) => {
    const rest = Object.entries(someRequest()).filter(([key]) => key !== name)
    const { code, message } = refusal(parseRequest, bytes(Object.fromEntries(rest)))
    expect(code).toBe('HW_REQUEST_INVALID')
    expect(message).toContain(name)
  })

  it.each(['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty'])(
    'with the key %s is refused, and pollutes nothing',
    (key) => {
      const text = JSON.stringify(someRequest()).replace(
        /\}$/,
        `,${JSON.stringify(key)}:{"polluted":true}}`,
      )
      expect(refusal(parseRequest, bytes(text)).code).toBe('HW_REQUEST_INVALID')
      expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
    },
  )

  it('may have any name in its environment, as a name and nothing more', () => {
    const text = JSON.stringify(someRequest()).replace(
      '"env":{}',
      '"env":{"__proto__":"x","constructor":"y"}',
    )
    const { env } = parseRequest(bytes(text))
    expect(Object.entries(env)).toEqual([
      ['__proto__', 'x'],
      ['constructor', 'y'],
    ])
    expect(Object.getPrototypeOf(env)).toBe(Object.prototype)
    expect(refusal(parseRequest, bytes(text.replace('"x"', '{"polluted":true}'))).code).toBe(
      'HW_REQUEST_INVALID',
    )
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
  })

  it.each([
    ['[', ']'],
    ['{"a":', '}'],
  ])('that nests without end is refused as what it is: %s', (open, close) => {
    const deep = `${open.repeat(200_000)}1${close.repeat(200_000)}`
    expect(refusal(parseRequest, bytes(deep)).code).toBe('HW_REQUEST_INVALID')
    const inside = JSON.stringify(someRequest()).replace('"image":"busybox"', `"image":${deep}`)
    expect(refusal(parseRequest, bytes(inside)).code).toBe('HW_REQUEST_INVALID')
  })

  it('never shows what stands in an environment: a message goes to the log', () => {
    const secret = 'hunter2'
    for (const fields of [
      { env: { TOKEN: [secret] } },
      { env: [secret] },
      { env: secret },
      { host_env: { TOKEN: { secret } } },
      { host_env: secret },
      { host_env: { TOKEN: 7712345 } },
    ]) {
      const { message } = refusal(parseRequest, bytes({ ...someRequest(), ...fields }))
      expect(message).not.toMatch(/hunter2|7712345/)
      expect(message).toMatch(/env/)
    }
  })

  it('is quoted in one line that no terminal obeys', () => {
    const evil = '\u009b2J\u202e\u001b[2J\n'
    const { message } = refusal(
      parseRequest,
      bytes({ ...someRequest(), network: evil, [evil]: evil }),
    )
    expect(message).not.toMatch(/[^ -~]/)
  })

  it('is accepted or refused, whatever it is', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        expect(refusal(parseRequest, Buffer.from(text)).code).toBe('HW_REQUEST_INVALID')
      }),
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (raw) => {
        expect(refusal(parseRequest, Buffer.from(raw)).code).toBe('HW_REQUEST_INVALID')
      }),
    )
  })
})

describe('a signal', () => {
  it.each([
    ['SIGTERM', 15],
    ['term', 15],
    ['9', 9],
    ['SIGWINCH', 28],
  ])('%s is %i', (signal, number) => expect(parseSignal(bytes({ signal }))).toBe(number))

  it.each(['SIGNOPE', '', '0', '65', '-1', '1.5', 'SIG', 'toString', '__proto__', '٩'])(
    '%j is none',
    (signal) => {
      expect(refusal(parseSignal, bytes({ signal })).code).toBe('HW_OPTION_INVALID')
    },
  )

  it.each([
    [{}],
    [{ signal: 15 }],
    [{ signal: 'x'.repeat(17) }],
    [{ signal: 'SIGTERM', pid: 1 }],
    [null],
  ])('%j is malformed', (value) =>
    expect(refusal(parseSignal, bytes(value)).code).toBe('HW_REQUEST_INVALID'),
  )
})

describe('a size', () => {
  it('is two whole numbers', () => {
    expect(parseResize(bytes({ rows: 24, columns: 80 }))).toEqual({ rows: 24, columns: 80 })
    for (const size of [
      { rows: 24 },
      { rows: -1, columns: 1 },
      { rows: 65536, columns: 1 },
      { rows: 1.5, columns: 1 },
    ])
      expect(refusal(parseResize, bytes(size)).code).toBe('HW_REQUEST_INVALID')
  })
})
