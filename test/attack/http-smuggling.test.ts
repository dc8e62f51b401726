// One request that two readers would read differently. There is one reader here, so nothing is gained but a second request
// within the first; none is ever answered.
import { expect } from 'vitest'
import { attack } from './attack.js'
import { attempt, expectBobServed, expectRefused, watchDaemon } from './watched-daemon.js'

const watched = watchDaemon({ limits: { request_timeout_s: 2 } })

const inner = 'GET /v1/smuggled HTTP/1.1\r\nHost: a\r\n\r\n'
const post = (headers: string, body = '') =>
  `POST /v1/containers/abcd/stop HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n${headers}\r\n\r\n${body}`
const chunked = (headers: string) => post(headers, `0\r\n\r\n${inner}`)
/** Nobody has heard of what was hidden. */
const expectNoneSmuggled = (texts: readonly { text: string }[]) => {
  for (const { text } of texts) expect(text).not.toContain('smuggled')
  watched.expectSound()
}

attack(
  'X01',
  'CWE-444',
  'a length and chunks in one request (CL.TE, TE.CL) are refused',
  async () => {
    const both = await attempt([
      chunked('Content-Length: 5\r\nTransfer-Encoding: chunked'),
      chunked('Transfer-Encoding: chunked\r\nContent-Length: 5'),
      chunked('Content-Length: 60\r\nTransfer-Encoding: chunked'),
      chunked('Content-Length:\r\nTransfer-Encoding: chunked'),
    ])
    expectRefused(both, 400)
    expectNoneSmuggled(both)
  },
)

attack(
  'X02',
  'CVE-2022-32215',
  'transfer encodings that are spelt so as to be overlooked',
  async () => {
    const spellings = [
      'Transfer-Encoding: xchunked',
      'Transfer-Encoding: chunked, identity',
      'Transfer-Encoding: chunked, chunked',
      'Transfer-Encoding: identity, chunked\r\nTransfer-Encoding: identity',
      'Transfer-Encoding : chunked',
      'Transfer-Encoding:\tchunked\r\n Content-Length: 3',
      'Transfer-Encoding:\x0bchunked',
      'Transfer-Encoding: "chunked"',
      'X: y\r\n Transfer-Encoding: chunked',
      'Transfer\u2010Encoding: chunked\r\nContent-Length: 1x',
    ]
    const verdicts = await attempt(
      spellings.map((headers) => chunked(`${headers}\r\nConnection: close`)),
    )
    expectRefused(verdicts, 400, 404)
    expectNoneSmuggled(verdicts)
  },
)

attack(
  'X03',
  'CVE-2018-7159',
  'lengths that are twofold, signed, hexadecimal, with blanks, or beyond counting',
  async () => {
    const lengths = [
      '5\r\nContent-Length: 6',
      '5, 6',
      '+5',
      '-1',
      '0x5',
      '5 5',
      '5 ',
      ' 5;',
      '05e1',
      '18446744073709551621',
      '',
    ]
    const hidden = lengths.map((length) =>
      post(`Content-Length: ${length}\r\nConnection: close`, `{}   ${inner}`),
    )
    const verdicts = await attempt(hidden)
    expectRefused(verdicts, 400, 404, 413)
    expectNoneSmuggled(verdicts)
  },
)

attack(
  'X04',
  'CVE-2024-22019',
  'chunk extensions without end, and chunk sizes that overflow',
  async () => {
    const before = watched.rssMib()
    const head = post('Transfer-Encoding: chunked\r\nConnection: close')
    const verdicts = await attempt([
      `${head}1;${'a'.repeat(8 * 1024 * 1024)}`,
      `${head}1${';a=b'.repeat(100_000)}\r\nx\r\n0\r\n\r\n`,
      `${head}10000000000000000\r\n${inner}`,
      `${head}-1\r\n${inner}`,
      `${head}ffffffffffffffff\r\n${inner}`,
      `${head}2\r\n{}\r\n0\r\nX: y\r\nTransfer-Encoding: chunked\r\nContent-Length: 7\r\n\r\n${inner}`,
      `${head}2\r\n{}X0\r\n\r\n${inner}`,
    ])
    expectRefused(verdicts, 400, 404, 408, 413)
    expectNoneSmuggled(verdicts)
    expect(watched.rssMib()).toBeLessThan(before + 100)
  },
)

attack(
  'X05',
  'CVE-2021-22959',
  'folded headers, bare line feeds, bare carriage returns and blanks before a colon',
  async () => {
    const lines = [
      'X: a\r\n folded: b',
      ' X: begins with a blank',
      'X : y',
      'X\ty: z',
      'X: a\rY: b',
      'X: a\nContent-Length: 40\n',
      'X: a\r\r\nY: b',
      'X: a\0b',
      'no colon at all',
      ': no name',
    ]
    const verdicts = await attempt(
      lines.map(
        (line) =>
          `GET /v1/images HTTP/1.1\r\nHost: a\r\n${line}\r\nConnection: close\r\n\r\n${inner}`,
      ),
    )
    expectNoneSmuggled(verdicts)
    for (const { statuses, isClosed, text } of verdicts) {
      expect(isClosed, text).toBe(true)
      expect([[400], [200]], text).toContainEqual(statuses)
    }
    await expectBobServed()
  },
)

attack('X06', 'own', 'a second request behind an upgrade is a frame, and a bad one', async () => {
  const upgrade = 'POST /v1/runs HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: hepwrap\r\n'
  const verdicts = await attempt([
    `${upgrade}\r\n${inner}`,
    `${upgrade}Content-Length: ${inner.length}\r\n\r\n${inner}`,
    `${upgrade}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n${inner}`,
    `${upgrade}\r\n${upgrade}\r\n`,
  ])
  for (const { statuses, code, isClosed, text } of verdicts) {
    expect({ statuses, code, isClosed }, text).toMatchObject({
      statuses: [101],
      code: 'HW_REQUEST_INVALID',
      isClosed: true,
    })
  }
  expectNoneSmuggled(verdicts)
})
