// A hostile user with a shell in a job: what he sends, holds open, fills up and tampers with. Others are served meanwhile, and
// what he took comes back.
import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FRAME, frame, frameHeader } from '../../src/wire/frames.js'
import { type Daemon, startDaemon, stopDaemons } from '../world/daemon.js'
import { eventually, PATIENCE } from '../world/eventually.js'
import { leftovers, nothing } from '../world/traces.js'
import { as, expectSuccess, type User } from '../world/world.js'
import {
  type Answer,
  attacker,
  bareRequest,
  type Message,
  runBytes,
  sendAll,
  sendRaw,
  UPGRADE,
} from './raw-request.js'

const REQUEST_TIMEOUT_S = 2
let daemon: Daemon
beforeAll(async () => {
  // Nobody is slowed here: that is test/attack/hammering.test.ts.
  const limits = { request_timeout_s: REQUEST_TIMEOUT_S, requests_burst: 10_000 }
  daemon = await startDaemon({ config: { limits } })
})
afterAll(async () => {
  expect(await leftovers()).toEqual(nothing)
  await stopDaemons()
  expect(daemon.logText()).not.toMatch(/"level":(50|60)/)
})

const openFiles = () => readdirSync(`/proc/${daemon.pid}/fd`).length
const rssMib = () => {
  const status = readFileSync(`/proc/${daemon.pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+)/m.exec(status)![1]) / 1024
}
const rows = (sql = 'select * from records order by seq') => daemon.ledgerRows(sql)

/** An ordinary run of an ordinary user, and how long it took. */
async function expectServed(user: User = 'bob'): Promise<number> {
  const argv = ['-Q', '-p', 'shared', 'hepwrap', 'run', 'busybox:test', 'echo', 'served']
  const { stdout, durationMs } = expectSuccess(await as(user).srun(argv, { timeoutMs: 15_000 }))
  expect(stdout).toBe('served\n')
  return durationMs
}

const closeOf = (text: string) => {
  const [, json] = /(\{"run_id".*\})$/s.exec(text) ?? []
  return JSON.parse(json ?? '{}') as { run_id?: string; exit?: number; code?: string }
}

describe('requests that lie', () => {
  const mount = (fd: number, more: object = {}) => ({
    mounts: [
      { source: '/home/alice', fd, target: '/x', read_only: false, origin: 'user', ...more },
    ],
  })
  const spelt = (start: string) => start + JSON.stringify(bareRequest()).slice(1)
  const lies: [string, object | string, string][] = [
    ...['uid', 'gid', 'user', 'groups', 'job_id', 'caller', 'privileged', 'HostConfig', 'pid'].map(
      (field): [string, object, string] => [
        `a field ${field}`,
        { [field]: 0 },
        'HW_REQUEST_INVALID',
      ],
    ),
    ['a key __proto__', spelt('{"__proto__": {"uid": 0, "is": true}, '), 'HW_REQUEST_INVALID'],
    [
      'a key constructor',
      spelt('{"constructor": {"prototype": {"is": 1}}, '),
      'HW_REQUEST_INVALID',
    ],
    ['a key prototype', spelt('{"prototype": {"is": true}, '), 'HW_REQUEST_INVALID'],
    [
      'a label __proto__',
      spelt('{').replace('"labels":{}', '"labels":{"__proto__":"x"}'),
      'HW_OPTION_INVALID',
    ],
    ['a NUL in the image', { image: 'busybox\0:test' }, 'HW_IMAGE_INVALID'],
    ['a NUL in the command', { command: ['echo', 'a\0b'] }, 'HW_OPTION_INVALID'],
    ['a NUL in the entrypoint', { entrypoint: 'a\0b' }, 'HW_OPTION_INVALID'],
    ['a NUL in the workdir', { workdir: '/a\0b' }, 'HW_OPTION_INVALID'],
    ['a NUL in a value', { env: { A: 'a\0b' } }, 'HW_OPTION_INVALID'],
    ['a NUL in a variable', { env: { 'A\0': 'b' } }, 'HW_OPTION_INVALID'],
    ['a = in a variable', { env: { 'A=B': 'b' } }, 'HW_OPTION_INVALID'],
    ['a NUL in a label', { labels: { a: 'b\0' } }, 'HW_OPTION_INVALID'],
    ['a NUL in a name', { name: 'a\0' }, 'HW_OPTION_INVALID'],
    ['a NUL in a tmpfs', { tmpfs: [{ target: '/t\0' }] }, 'HW_MOUNT_TARGET'],
    ['our own label', { labels: { 'hepwrap.run': 'f'.repeat(32) } }, 'HW_OPTION_INVALID'],
    ['another network', { network: 'container:x' }, 'HW_REQUEST_INVALID'],
    ['a text for a number', { cpus: '1' }, 'HW_REQUEST_INVALID'],
    ['a number for a text', { image: 5 }, 'HW_REQUEST_INVALID'],
    ['a negative limit', { memory_bytes: -1 }, 'HW_REQUEST_INVALID'],
    ['a huge limit', { memory_bytes: 1e300 }, 'HW_LIMIT_ABOVE_JOB'],
    ['a mode that is none', { tmpfs: [{ target: '/t', mode: 0o77777 }] }, 'HW_REQUEST_INVALID'],
    ['a mount by a descriptor that is not open', mount(999), 'HW_MOUNT_SOURCE'],
    ['a mount by its stdin, a pipe', mount(0), 'HW_MOUNT_REFUSED'],
    ['a mount by descriptor and error', mount(0, { error: 'ENOENT' }), 'HW_MOUNT_SOURCE'],
    ['a mount by a descriptor below 0', mount(-1), 'HW_REQUEST_INVALID'],
    ['a mount by none', mount(0, { fd: undefined }), 'HW_REQUEST_INVALID'],
  ]
  let answers: Answer[]
  beforeAll(async () => {
    const bytes = lies.map(([, lie]) =>
      runBytes(typeof lie === 'string' ? lie : { ...bareRequest(), ...lie }),
    )
    answers = await sendAll('alice', bytes)
  })

  it.each(lies.map(([name, , code], index) => ({ name, code, index })))(
    '$name: $code, in a record of its own',
    ({ code, index }) => {
      const { text, isClosed } = answers[index]!
      const close = closeOf(text)
      const expected = { isClosed: true, code, exit: 125 }
      expect({ isClosed, code: close.code, exit: close.exit }).toEqual(expected)
      expect(rows().filter(({ id }) => id === close.run_id)).toEqual([
        expect.objectContaining({ state: 'REFUSED', reason: code, uid: 2001, user: 'alice' }),
      ])
    },
  )

  it('__proto__ as the name of a variable is a name and pollutes nothing', async () => {
    const text = JSON.stringify(bareRequest({ command: ['env'] }))
      .replace('"env":{}', '"env":{"__proto__":"x","constructor":"y","toString":"z"}')
      .replace('"host_env":{}', '"host_env":{"__proto__":"x"}')
    const { text: answer } = await sendRaw('alice', runBytes(text))
    expect(answer).toContain('constructor=y')
    expect(answer).toContain('toString=z')
    await expectServed()
  })

  it('a header that claims to be another user changes nothing', async () => {
    const words = UPGRADE.replace(
      '\r\n\r\n',
      '\r\nX-Forwarded-User: root\r\nX-Remote-User: root\r\nAuthorization: Basic cm9vdDo=\r\n\r\n',
    )
    const bytes = Buffer.concat([
      Buffer.from(words),
      frame(FRAME.request, bareRequest({ command: ['id', '-u'] })),
    ])
    expect((await sendRaw('alice', bytes)).text).toContain('2001\n')
    expect(rows().at(-1)).toMatchObject({ uid: 2001 })
  })
})

describe('words that are not the protocol', () => {
  const status = (text: string) => Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1])
  const length = (more: string) => `POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: ${more}`
  const wrong: [string, string, number][] = [
    ['not HTTP at all', '\x00\x01\x02\x03\r\n\r\n', 400],
    ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'.repeat(20), 400],
    ['a header without end', `GET /v1/images HTTP/1.1\r\nX: ${'x'.repeat(100_000)}`, 400],
    ['ten thousand headers', `GET / HTTP/1.1\r\n${'A: b\r\n'.repeat(10_000)}\r\n`, 400],
    ['two lengths', length('1\r\nContent-Length: 2\r\n\r\nx'), 400],
    ['a length and chunks', length('5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'), 400],
    ['another version', 'GET /v1/images HTTP/9.9\r\n\r\n', 400],
    ['an upgrade to something else', UPGRADE.replace('Upgrade: hepwrap', 'Upgrade: h2c'), 404],
    ['an upgrade of another path', UPGRADE.replace('/v1/runs', '/v1/jobs/1'), 404],
    ['a run without upgrade', UPGRADE.replace(/Connection.*/s, 'Connection: close\r\n\r\n'), 404],
  ]
  const asked = (method: string, path: string, body = '') =>
    `${method} ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  const forbidden = [
    asked('PUT', '/v1/jobs/1', '{"job_id":1}'),
    asked('DELETE', '/v1/jobs/1'),
    asked('GET', '/v1/doctor'),
    asked('PUT', '/v1/jobs/../jobs/1', '{"job_id":1}'),
    asked('PUT', '//v1/jobs/1', '{"job_id":1}'),
    asked('PUT', '/v1/jobs/1?uid=0', '{"job_id":1,"uid":0}'),
    asked('put', '/v1/jobs/1', '{"job_id":1}'),
  ]
  const frames: [string, Buffer][] = [
    ['a first frame of another type', frame(FRAME.stdin, Buffer.from('x'))],
    ['a frame of an unknown type', frame(200, Buffer.from('x'))],
    ['a close frame', frame(FRAME.close, { run_id: 'x', exit: 0 })],
    ['a request that is no JSON', frame(FRAME.request, Buffer.from('{"image":'))],
    ['a request that is no UTF-8', frame(FRAME.request, Buffer.from([0x22, 0xff, 0xfe, 0x22]))],
    ['a request that is a list', frame(FRAME.request, Buffer.from('[]'))],
    ['a request that is null', frame(FRAME.request, Buffer.from('null'))],
    ['an empty request', frame(FRAME.request, Buffer.alloc(0))],
    ['a request of brackets', frame(FRAME.request, Buffer.from('['.repeat(1_000_000)))],
  ]
  let answers: Answer[]
  let [filesBefore, filesAfter] = [0, 0]
  beforeAll(async () => {
    filesBefore = openFiles()
    answers = await sendAll('alice', [
      ...wrong.map(([, words]) => Buffer.from(words, 'latin1')),
      ...forbidden,
      ...frames.map(([, bytes]) => Buffer.concat([Buffer.from(UPGRADE), bytes])),
    ])
    filesAfter = openFiles()
  })

  it.each(wrong.map(([name, , expected], index) => ({ name, expected, index })))(
    '$name: status $expected',
    ({ expected, index }) => {
      const { text, isClosed } = answers[index]!
      expect({ status: status(text), isClosed }).toEqual({ status: expected, isClosed: true })
      expect(text).not.toMatch(/node:|\.js:|at .*\(/)
    },
  )

  it.each(forbidden.map((words, index) => ({ words: words.split('\r')[0], index })))(
    '$words by a user is refused',
    ({ index }) => {
      expect([400, 403, 404]).toContain(status(answers[wrong.length + index]!.text))
    },
  )

  it.each(frames.map(([name], index) => ({ name, index })))('$name: refused', ({ index }) => {
    const { text, isClosed } = answers[wrong.length + forbidden.length + index]!
    expect(isClosed).toBe(true)
    expect(closeOf(text)).toMatchObject({ code: 'HW_REQUEST_INVALID', exit: 125 })
  })

  it('leave no descriptor open', () => expect(filesAfter).toBeLessThanOrEqual(filesBefore + 1))

  it('a frame that says it has 4 GB is refused by its header', async () => {
    const bytes = Buffer.concat([Buffer.from(UPGRADE), frameHeader(FRAME.request, 0xffffffff)])
    const { text, afterMs } = await sendRaw('alice', bytes)
    expect(closeOf(text)).toMatchObject({ code: 'HW_REQUEST_TOO_LARGE' })
    expect(afterMs).toBeLessThan(1500 * PATIENCE)
  })

  it('frames that break the protocol in the middle of a run end that run alone', async () => {
    const other = as('bob').startSrun('-Q -p shared hepwrap run -i busybox:test cat'.split(' '))
    const bytes = Buffer.concat([
      runBytes(bareRequest({ command: ['sleep', '60'], interactive: true })),
      frameHeader(FRAME.stdin, 0x7fffffff),
    ])
    const { isClosed } = await sendRaw('alice', bytes)
    expect(isClosed).toBe(true)
    other.child.stdin?.end('still here')
    expect((await other.result).stdout).toBe('still here')
    await eventually(() => rows().every((row) => row['state'] !== 'RUNNING'))
  })
})

describe('clients that take their time', () => {
  const body = (more: string) =>
    `POST /v1/containers/abcd/stop HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n${more}`
  const partial = Buffer.concat([
    Buffer.from(UPGRADE),
    frameHeader(FRAME.request, 1000),
    Buffer.from('{"image":'),
  ])
  const slow: [string, Message][] = [
    ['says nothing', ''],
    ['stops in the middle of a header', 'POST /v1/runs HTTP/1.1\r\nHos'],
    ['sends a body that never ends', body('Content-Length: 60000\r\n\r\n{')],
    ['sends chunks that never end', body('Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n')],
    ['upgrades and says nothing', UPGRADE],
    ['stops in the middle of its request', partial],
    ['sends a byte of a header a second', { start: 'GET /v1/images HTTP/1.1\r\nX: ', drip: 1 }],
    ['sends a byte of a request a second', { start: partial, drip: 1 }],
    ['sends a byte of a body a second', { start: body('Content-Length: 60000\r\n\r\n{'), drip: 1 }],
  ]
  let answers: Answer[]
  let servedMs: number
  beforeAll(async () => {
    const all = slow.map(([, words]) => words)
    const sent = sendAll('alice', all, { before: [], seconds: 12 })
    servedMs = await expectServed()
    answers = await sent
  })

  it.each(slow.map(([name], index) => ({ name, index })))(
    'one that $name is closed',
    ({ index }) => {
      const { isClosed, afterMs } = answers[index]!
      expect(isClosed).toBe(true)
      expect(afterMs).toBeGreaterThan(REQUEST_TIMEOUT_S * 1000 - 500)
      expect(afterMs).toBeLessThan((REQUEST_TIMEOUT_S * 1000 + 3000) * PATIENCE)
    },
  )

  it('others are served meanwhile', () => expect(servedMs).toBeLessThan(8000 * PATIENCE))
})

describe('half-open connections', () => {
  const long = runBytes(bareRequest({ command: ['sleep', '60'] }))
  const cases: [string, Message][] = [
    ['before a word', { start: '', drip: -1 }],
    ['in the middle of a header', { start: 'POST /v1/runs HTTP/1.1\r\nHos', drip: -1 }],
    ['after the upgrade', { start: UPGRADE, drip: -1 }],
    ['in the middle of the request', { start: long.subarray(0, -5), drip: -1 }],
    ['in the middle of a run', { start: long, drip: -1 }],
  ]
  let answers: Answer[]
  beforeAll(async () => {
    answers = await sendAll(
      'alice',
      cases.map(([, message]) => message),
      { seconds: 15 },
    )
  })

  it.each(cases.map(([name], index) => ({ name, index })))('$name: closed', ({ index }) => {
    expect(answers[index]).toMatchObject({ isClosed: true })
    expect(answers[index]!.afterMs).toBeLessThan(12_000 * PATIENCE)
  })

  it('nothing of them is left', async () => {
    await eventually(() => rows().every((row) => row['state'] !== 'RUNNING'))
    expect(await leftovers()).toEqual(nothing)
  })
})

describe('1,000 connections by one user', () => {
  it.each([
    ['that say nothing', '0'],
    ['upgraded, half-open', '1000'],
  ])('%s: others and root are served, and memory and descriptors come back', async (_, bytes) => {
    await expectServed()
    const [files, memory] = [openFiles(), rssMib()]
    const crowd = as('alice').startSrun([
      '-Q',
      '-p',
      'shared',
      'python3',
      attacker('crowd'),
      '1000',
      bytes,
    ])
    await eventually(() => crowd.stdoutSoFar().includes('open 1000'))
    await expectServed('bob')
    expectSuccess(await as('root').run(['hepwrap', 'ps', '-a']))
    expectSuccess(await as('bob').run(['hepwrap', 'ps']))
    await eventually(() => openFiles() <= files + 2, { timeoutMs: 8000, what: 'the descriptors' })
    crowd.child.stdin?.end()
    expect(expectSuccess(await crowd.result).stdout).toContain('closed 1000')
    await expectServed('alice')
    expect(openFiles()).toBeLessThanOrEqual(files + 2)
    expect(rssMib()).toBeLessThan(memory + 150)
  })
})
