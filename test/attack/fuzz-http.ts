// What the fuzzer sends that is HTTP, or nearly; and the words and numbers of all its cases.
import fc from 'fast-check'

export const bytes = (maxLength: number) =>
  fc.uint8Array({ maxLength }).map((array) => Buffer.from(array))
export const word = fc.oneof(
  fc.string({ maxLength: 30, unit: 'binary' }),
  fc.constantFrom(
    '',
    '\0',
    '\n',
    'a\nb',
    'a\u2028b',
    '__proto__',
    'constructor',
    '..',
    '/',
    '*',
    '\ud800',
    '\u202e',
    '%',
    '-1',
    '=',
    'hepwrap.run',
    '/proc/self/fd/3',
    'x'.repeat(5000),
  ),
)
export const number = fc.oneof(
  fc.integer({ min: -3, max: 5 }),
  fc.double(),
  fc.constantFrom(2 ** 31, 2 ** 32, 2 ** 53, 2 ** 63, -(2 ** 63), 1e300),
)

const method = fc.constantFrom(
  'GET',
  'POST',
  'PUT',
  'DELETE',
  'PATCH',
  'HEAD',
  'OPTIONS',
  'TRACE',
  'CONNECT',
  'PRI',
  'get',
  'M-SEARCH',
)
const target = fc
  .tuple(
    fc.constantFrom(
      '/v1/runs',
      '/v1/records?job=',
      '/v1/records?image=',
      '/v1/containers',
      '/v1/containers/',
      '/v1/images',
      '/v1/jobs/1',
      '/v1/doctor',
      '*',
      'http://a/',
    ),
    fc.oneof(word, word.map(encodeURIComponentAnyway)),
  )
  .map(([path, rest]) => path + rest)
const header = fc.oneof(
  fc.constantFrom(
    'Host: a',
    'Connection: Upgrade',
    'Connection: close',
    'Connection: keep-alive',
    'Upgrade: hepwrap',
    'Upgrade: h2c',
    'Content-Length: 5',
    'Content-Length: 99999',
    'Transfer-Encoding: chunked',
    'Expect: 100-continue',
    'Content-Type: application/json',
    'Content-Type: text/plain',
    'Trailer: X',
  ),
  fc.tuple(word, word).map(([name, value]) => `${name}: ${value}`),
)
const jsonBody = fc.oneof(
  fc.json({ maxDepth: 3 }),
  fc.constantFrom('{}', '{"signal":"KILL"}', '{"timeout_s":0}', '5\r\n{"a":\r\n', '0\r\n\r\n'),
)

const nearlyHttp = fc
  .record({
    method,
    target,
    version: fc.constantFrom('1.1', '1.1', '1.1', '1.0', '2.0', ''),
    headers: fc.array(header, { maxLength: 8 }),
    end: fc.constantFrom('\r\n', '\r\n', '\n', '\r'),
    body: jsonBody,
  })
  .map(({ method: verb, target: path, version, headers, end, body }) =>
    Buffer.from(
      `${verb} ${path} HTTP/${version}${end}${headers.map((line) => line + end).join('')}${end}${body}`,
    ),
  )

/** Bytes turned, taken out and put in. */
export const mutated = (whole: fc.Arbitrary<Buffer>): fc.Arbitrary<Buffer> =>
  fc
    .tuple(
      whole,
      fc.array(
        fc.record({
          at: fc.double({ min: 0, max: 1, noNaN: true }),
          cut: fc.nat({ max: 6 }),
          put: bytes(6),
        }),
        { maxLength: 3 },
      ),
    )
    .map(([buffer, edits]) =>
      edits.reduce((text, { at, cut, put }) => {
        const from = Math.floor(at * text.length)
        return Buffer.concat([text.subarray(0, from), put, text.subarray(from + cut)])
      }, buffer),
    )

export const anyHttp: fc.Arbitrary<Buffer> = fc.oneof(
  bytes(300),
  nearlyHttp,
  mutated(nearlyHttp),
  fc.array(nearlyHttp, { minLength: 2, maxLength: 4 }).map((all) => Buffer.concat(all)),
)

function encodeURIComponentAnyway(text: string): string {
  return [...Buffer.from(text)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')
}
