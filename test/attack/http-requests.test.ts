// Requests that a web server might answer in ways of its own: other versions, methods and protocols, bodies of other kinds,
// what is too large.
import { gzipSync } from 'node:zlib'
import { expect } from 'vitest'
import { UPGRADE } from '../slurm/raw-request.js'
import { attack } from './attack.js'
import { get, post } from './http.js'
import { attempt, expectBobServed, expectRefused, watchDaemon } from './watched-daemon.js'

const watched = watchDaemon({ limits: { request_timeout_s: 2 } })

attack(
  'X07',
  'own',
  'HTTP/0.9, HTTP/2 and other protocols on the socket get no service',
  async () => {
    const verdicts = await attempt([
      'GET /v1/images\r\n\r\n',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0',
      'GET /v1/images HTTP/3.0\r\nHost: a\r\n\r\n',
      'GET /v1/images HTTP/1.2\r\nHost: a\r\n\r\n',
      'GET /v1/images http/1.1\r\nHost: a\r\n\r\n',
      'GET /v1/images HTTP/1.1\r\n\r\n', // no Host
      'SSH-2.0-OpenSSH_9.9\r\n\r\n',
      'RTSP://a RTSP/1.0\r\n\r\n',
    ])
    for (const { statuses, isClosed, text } of verdicts) {
      expect(isClosed, text).toBe(true)
      expect([[], [400]], text).toContainEqual(statuses)
    }
    watched.expectSound()
  },
)

attack(
  'X08',
  'own',
  'CONNECT, TRACE, absolute targets and unheard-of methods reach nothing and echo nothing',
  async () => {
    const secret = 'X-Secret: echoed-back\r\n'
    const verdicts = await attempt([
      `CONNECT engine:2375 HTTP/1.1\r\nHost: a\r\n${secret}\r\n`,
      `CONNECT /run/docker.sock HTTP/1.1\r\nHost: a\r\n${secret}\r\n`,
      `TRACE /v1/images HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${secret}\r\n`,
      `OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${secret}\r\n`,
      `PROPFIND /v1/records HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${secret}\r\n`,
      `${'M'.repeat(100_000)} / HTTP/1.1\r\nHost: a\r\n\r\n`,
      `PATCH /v1/records HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`,
      get('http://unix:/run/docker.sock:/v1/doctor'),
      get('http://a/v1/doctor'),
      get('//v1/doctor'),
      get('/v1/doctor#/v1/images'),
    ])
    for (const { statuses, isClosed, text } of verdicts) {
      expect(isClosed, text).toBe(true)
      expect([[], [400], [403], [404]], text).toContainEqual(statuses)
      expect(text).not.toContain('echoed-back')
    }
    watched.expectSound()
  },
)

attack(
  'X09',
  'own',
  'upgrades to websocket, h2c and several protocols at once begin no run',
  async () => {
    const to = (upgrade: string, more = '') =>
      UPGRADE.replace('Upgrade: hepwrap', `Upgrade: ${upgrade}${more}`)
    const rows = watched.rows().length
    const verdicts = await attempt([
      to(
        'websocket',
        '\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13',
      ),
      to('h2c', '\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA'),
      to('h2c, hepwrap'),
      to('hepwrap, h2c'),
      to('hepwrap\r\nUpgrade: h2c'),
      to('HEPWRAP\0'),
      UPGRADE.replace('POST', 'GET'),
      UPGRADE.replace('/v1/runs', '/v1/runs?uid=0'),
      UPGRADE.replace('/v1/runs', '/v1/runs/'),
      UPGRADE.replace('/v1/runs', '/v1/%72uns'),
      UPGRADE.replace('/v1/runs', 'http://a/v1/runs'),
    ])
    expectRefused(verdicts, 400, 404)
    expect(watched.rows()).toHaveLength(rows)
    watched.expectSound()
  },
)

attack('X10', 'own', 'URLs, headers and methods of megabytes are cut off early', async () => {
  const before = watched.rssMib()
  const mib = 'x'.repeat(1024 * 1024)
  const verdicts = await attempt([
    get(`/${mib}`),
    get(`/v1/records?image=${mib}`),
    get('/v1/images', `X: ${mib}\r\n`),
    get('/v1/images', `${mib}: y\r\n`),
    get('/v1/images', Array.from({ length: 10_000 }, (_, index) => `X-${index}: y\r\n`).join('')),
    get('/v1/images', `Cookie: ${'a=b; '.repeat(100_000)}\r\n`),
    ...Array<string>(40).fill(get(`/${mib}`)),
  ])
  expectRefused(verdicts, 400)
  expect(watched.rssMib()).toBeLessThan(before + 100)
  await expectBobServed()
})

attack(
  'X13',
  'own',
  'bodies of other media types, other encodings, compressed, or none',
  async () => {
    const json = '{"signal":"KILL"}'
    const target = '/v1/containers/abcd/kill'
    const bomb = gzipSync(Buffer.alloc(50 * 1024 * 1024))
    const before = watched.rssMib()
    const verdicts = await attempt([
      ...[
        'text/plain',
        'text/json',
        'application/x-www-form-urlencoded',
        'multipart/form-data; boundary=x',
        'application/json; charset=utf-16',
        'application/json; charset=__proto__',
        'application/json, text/plain',
        '__proto__',
        'application/',
        '',
        `application/json;${'a'.repeat(8000)}`,
      ].map((type) => post(target, json, type)),
      post(target, Buffer.from(json, 'utf16le'), 'application/json'),
      post(target, Buffer.from([0xef, 0xbb, 0xbf, ...Buffer.from(json)]), 'application/json'),
      post(target, bomb, 'application/json', 'Content-Encoding: gzip\r\n'),
      post(target, json, 'application/json', 'Expect: 200-maybe\r\n'),
      post(target, '', 'application/json'),
      post(target, `${'['.repeat(30_000)}${']'.repeat(30_000)}`, 'application/json'),
      post(target, `{"a":${'{"a":'.repeat(10_000)}1${'}'.repeat(10_001)}`, 'application/json'),
      post(target, '{"signal":"KILL","__proto__":{"uid":0}}', 'application/json'),
      post(target, '{"signal":"KILL","constructor":{"prototype":{"uid":0}}}', 'application/json'),
    ])
    for (const { statuses, isClosed, text } of verdicts) {
      expect(isClosed, text).toBe(true)
      expect([[400], [404], [413], []], text).toContainEqual(statuses) // none: an expectation ends it
    }
    expect(watched.rssMib()).toBeLessThan(before + 100)
    watched.expectSound()
  },
)
