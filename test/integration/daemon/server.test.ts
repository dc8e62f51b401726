// The daemon's socket and those who connect to it: by two uids, slow, half-sent, oversized, many. The server is the real one,
// in this process; behind it is a ledger and nothing else. No container runs here.
import { spawn } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openLedger, type Ledger } from '../../../src/accounting/ledger.js'
import { newRunId, type JobId } from '../../../src/base/ids.js'
import type { Daemon } from '../../../src/daemon/compose.js'
import { createMeters } from '../../../src/daemon/meters.js'
import { buildServer } from '../../../src/daemon/server.js'
import { createLiveRuns } from '../../../src/run/live-runs.js'
import { createJobTable } from '../../../src/slurm/job-table.js'
import { FRAME, frameHeader } from '../../../src/wire/frames.js'
import { makeRecord } from '../../unit/accounting/records.js'
import { fakeClock, fakeEngine, silentLog, someCaller } from '../../unit/run/fakes.js'
import { eventually } from '../../world/eventually.js'
import { as } from '../../world/world.js'

const CEILING = 20
const ALICE = 2001

let directory: string
let path: string
let ledger: Ledger
let server: ReturnType<typeof buildServer>
const live = createLiveRuns(0)

beforeAll(async () => {
  directory = mkdtempSync('/srv/hepwrap-server-')
  chmodSync(directory, 0o755)
  path = join(directory, 'hepwrapd.sock')
  ledger = openLedger(join(directory, 'state'))
  mkdirSync(join(directory, 'jobs'), { mode: 0o700 })
  const meters = createMeters(fakeClock())
  const daemon = {
    config: {
      node: { cluster: 'hepp', name: 'n1', stop_timeout_s: 1, state_dir: join(directory, 'state') },
      limits: {
        request_timeout_s: 1,
        connections_per_user: CEILING,
        requests_per_second: 1,
        requests_burst: 1e6,
      },
      layers: [],
    },
    clock: fakeClock(),
    log: silentLog(),
    ledger,
    live,
    refusals: { spend: () => 'recorded' },
    meters,
    tally: meters.tally,
    engine: fakeEngine({ listImages: () => Promise.resolve([]) }),
    jobs: createJobTable(join(directory, 'jobs')),
    cgroupRoots: { v1: new Map(), v2: undefined },
    isStopping: () => false,
  } as unknown as Daemon
  server = buildServer(daemon)
  await server.listen({ path })
  chmodSync(path, 0o666)
})
afterAll(async () => {
  server.server.closeAllConnections()
  await server.close()
  ledger.close()
  rmSync(directory, { recursive: true })
})

interface Reply {
  status: number
  body: string
}

/** One request by root (this process) over a connection of its own; the connection is closed at the end of the reply. */
async function ask(text: string | Buffer, { half = false } = {}): Promise<Reply> {
  const socket = connect(path)
  socket.on('error', () => undefined)
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  const closed = new Promise((resolve) => socket.once('close', resolve))
  if (half) socket.write(text)
  else socket.end(text)
  await closed
  return parseReply(Buffer.concat(chunks).toString())
}

function parseReply(text: string): Reply {
  const [head = '', ...body] = text.split('\r\n\r\n')
  return { status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0), body: body.join('\r\n\r\n') }
}

const http = (method: string, target: string, body?: string, type = 'application/json') =>
  `${method} ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n` +
  (body === undefined
    ? '\r\n'
    : `Content-Type: ${type}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`)

/** The same by alice. */
async function askAsAlice(text: string): Promise<Reply> {
  const script = `
    import socket, sys
    s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(sys.stdin.buffer.read())
    while True:
        b = s.recv(65536)
        if not b: break
        sys.stdout.buffer.write(b)
  `.replace(/^ {4}/gm, '')
  const { stdout } = await as('alice').run(['python3', '-c', script, path], { input: text })
  return parseReply(stdout)
}

const code = ({ body }: Reply) => (JSON.parse(body) as { code: string }).code

/** What is open in this process: sockets of both ends, and pidfds of callers. */
const descriptors = () => readdirSync('/proc/self/fd').length

describe('ACCEPTANCE 35: who calls', () => {
  it('is the kernel’s word: root may what alice may not', async () => {
    for (const [method, target, body] of [
      ['PUT', '/v1/jobs/7', '{"job_id":7}'],
      ['DELETE', '/v1/jobs/7', undefined],
      ['GET', '/v1/doctor', undefined],
    ] as const) {
      const refused = await askAsAlice(http(method, target, body))
      expect([refused.status, code(refused)], target).toEqual([403, 'HW_ROOT_ONLY'])
    }
    expect((await ask(http('PUT', '/v1/jobs/7', '{"job_id":7}'))).status).toBe(200)
  })

  it('decides whose records are read, whatever the query asks for', async () => {
    const mine = makeRecord({ uid: ALICE, user: 'alice', state: 'COMPLETED' })
    const theirs = makeRecord({ uid: 2002, user: 'bob', state: 'COMPLETED' })
    ledger.open(mine)
    ledger.open(theirs)
    const ids = ({ body }: Reply) =>
      [...body.matchAll(/"id":"([0-9a-f]{32})"/g)].map(([, id]) => id)
    expect(ids(await askAsAlice(http('GET', '/v1/records')))).toEqual([mine.id])
    expect(ids(await askAsAlice(http('GET', '/v1/records?user=bob')))).toEqual([])
    expect(ids(await askAsAlice(http('GET', '/v1/containers?all=true')))).toEqual([mine.id])
    expect(ids(await ask(http('GET', '/v1/records')))).toEqual([mine.id, theirs.id])
  })

  it('decides whose containers are stopped and killed', async () => {
    const signals: number[] = []
    const theirs = live.add({
      runId: newRunId(),
      caller: someCaller({ uid: 2002 }),
      jobId: 7 as JobId,
    })
    const mine = live.add({
      runId: newRunId(),
      caller: someCaller({ uid: ALICE }),
      jobId: undefined,
    })
    for (const run of [theirs, mine]) run.deliverBy((signal) => void signals.push(signal))
    const badUrl = await askAsAlice(http('POST', '/v1/containers/%/kill', '{}'))
    expect([badUrl.status, code(badUrl)]).toEqual([400, 'HW_REQUEST_INVALID'])
    for (const id of [theirs.runId, theirs.runId.slice(0, 12), '', '%25', '*', '..%2f']) {
      const refused = await askAsAlice(http('POST', `/v1/containers/${id}/kill`, '{}'))
      expect([refused.status, code(refused)], id).toEqual([404, 'HW_NOT_FOUND'])
    }
    expect(signals).toEqual([])
    const prefix = mine.runId.slice(0, 12)
    const done = await askAsAlice(
      http('POST', `/v1/containers/${prefix}/kill`, '{"signal":"USR1"}'),
    )
    expect([done.status, signals]).toEqual([200, [10]])
    for (const run of [theirs, mine]) run.close()
  })
})

describe('ACCEPTANCE 36: a request that', () => {
  it.each<[string, string, number, string]>([
    ['goes nowhere', http('GET', '/v1/nothing'), 404, 'HW_NOT_FOUND'],
    ['has another method', http('DELETE', '/v1/records'), 404, 'HW_NOT_FOUND'],
    ['is no JSON', http('PUT', '/v1/jobs/7', '{'), 400, 'HW_REQUEST_INVALID'],
    [
      'pollutes a prototype',
      http('PUT', '/v1/jobs/7', '{"job_id":7,"__proto__":{"uid":0}}'),
      400,
      'HW_REQUEST_INVALID',
    ],
    [
      'nests without end',
      http('PUT', '/v1/jobs/7', `${'['.repeat(30_000)}${']'.repeat(30_000)}`),
      400,
      'HW_REQUEST_INVALID',
    ],
    [
      'has an unknown field',
      http('PUT', '/v1/jobs/7', '{"job_id":7,"root":true}'),
      400,
      'HW_REQUEST_INVALID',
    ],
    ['has a wrong type', http('PUT', '/v1/jobs/7', '{"job_id":"7"}'), 400, 'HW_REQUEST_INVALID'],
    ['is of another job', http('PUT', '/v1/jobs/7', '{"job_id":8}'), 400, 'HW_USAGE'],
    ['is of no job', http('PUT', '/v1/jobs/0', '{"job_id":1}'), 400, 'HW_USAGE'],
    [
      'is too large',
      http('PUT', '/v1/jobs/7', `"${'x'.repeat(70_000)}"`),
      413,
      'HW_REQUEST_TOO_LARGE',
    ],
    [
      'says it is too large',
      'PUT /v1/jobs/7 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n',
      413,
      'HW_REQUEST_TOO_LARGE',
    ],
    [
      'has another media type',
      http('PUT', '/v1/jobs/7', '<x/>', 'text/xml'),
      400,
      'HW_REQUEST_INVALID',
    ],
    ['has an unknown filter', http('GET', '/v1/records?uid=0'), 400, 'HW_REQUEST_INVALID'],
    ['has a filter twice', http('GET', '/v1/records?user=a&user=b'), 400, 'HW_REQUEST_INVALID'],
    ['has a state that is none', http('GET', '/v1/records?state=DEAD'), 400, 'HW_OPTION_INVALID'],
    ['has a job that is none', http('GET', `/v1/records?job=1'--`), 400, 'HW_REQUEST_INVALID'],
    [
      'upgrades to something else',
      'GET /v1/runs HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
      404,
      'HW_NOT_FOUND',
    ],
    [
      'upgrades elsewhere',
      'POST /v1/other HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: hepwrap\r\n\r\n',
      404,
      'HW_NOT_FOUND',
    ],
    ['is no HTTP', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400, 'HW_REQUEST_INVALID'],
    [
      'smuggles',
      'POST /v1/runs HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
      'HW_REQUEST_INVALID',
    ],
    [
      'has headers without end',
      `GET /v1/records HTTP/1.1\r\n${'X: y\r\n'.repeat(10_000)}\r\n`,
      400,
      'HW_REQUEST_INVALID',
    ],
  ])('%s is refused in our words', async (_what, text, status, reason) => {
    const reply = await ask(text)
    expect([reply.status, code(reply)]).toEqual([status, reason])
    expect(reply.body).not.toMatch(/node_modules|\.js:|\bat /)
  })

  it.each([
    ['says nothing', ''],
    ['stops in its headers', 'GET /v1/records HTTP/1.1\r\nHost'],
    [
      'stops in its body',
      'PUT /v1/jobs/7 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"job_id"',
    ],
  ])('%s is not waited for', { timeout: 10_000 }, async (_what, text) => {
    const startedAtMs = performance.now()
    const reply = await ask(text, { half: true })
    expect(performance.now() - startedAtMs).toBeLessThan(5000)
    expect([reply.status, code(reply)]).toEqual([408, 'HW_REQUEST_TIMEOUT'])
  })

  it('drips, headers or body, is not waited for; others are served meanwhile', async () => {
    const drippers = [
      'GET /v1/records HTTP/1.1\r\nX: ',
      'PUT /v1/jobs/7 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n',
    ].map((head) => {
      const socket = connect(path)
      socket.on('error', () => undefined)
      socket.on('data', () => undefined)
      socket.write(head)
      const drip = setInterval(() => socket.write('x'), 100)
      return new Promise<void>((resolve) => {
        socket.once('close', () => {
          clearInterval(drip)
          resolve()
        })
      })
    })
    expect((await ask(http('GET', '/v1/containers'))).status).toBe(200)
    await Promise.all(drippers)
  })

  it('is never answered from another connection’s caller', async () => {
    const both = await Promise.all([
      ...Array.from({ length: 5 }, () => ask(http('GET', '/v1/doctor?x'))),
      ...Array.from({ length: 5 }, () => askAsAlice(http('PUT', '/v1/jobs/9', '{"job_id":9}'))),
    ])
    expect(both.slice(5).map(code)).toEqual(Array(5).fill('HW_ROOT_ONLY'))
  })
})

describe('ACCEPTANCE 36: many connections by one user', () => {
  /** Alice opens that many and keeps them; says how many the daemon has refused. */
  const crowd = (count: number, bytes = Buffer.alloc(0)) => {
    const script = `
      import socket, sys, select, time
      count = int(sys.argv[2]); data = sys.stdin.buffer.read(); all = []
      for n in range(count):
          s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); all.append(s)
      for s in all:
          s.setblocking(False)
          rest = data
          while rest:
              try: rest = rest[s.send(rest):]
              except BlockingIOError: time.sleep(0.001)
              except OSError: break
      refused = quiet = 0
      while quiet < 10: # half a second without an answer more
          time.sleep(0.05)
          before = refused
          for s in list(all):
              try: text = s.recv(65536)
              except BlockingIOError: continue
              except OSError: text = b''
              refused += b'HW_TOO_MANY_RUNS' in text
              if not text: all.remove(s)
          quiet = quiet + 1 if refused == before else 0
      print(refused, flush=True)
      time.sleep(60)
    `.replace(/^ {6}/gm, '')
    const child = spawn('setpriv', [
      '--reuid',
      String(ALICE),
      '--regid',
      String(ALICE),
      '--clear-groups',
      'python3',
      '-c',
      script,
      path,
      String(count),
    ])
    let text = ''
    child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
    child.stdin.on('error', () => undefined)
    child.stdin.end(bytes)
    const refused = eventually(() => (text.includes('\n') ? Number(text) : undefined), {
      timeoutMs: 20_000,
      what: 'the crowd',
    })
    const leave = async () => {
      child.kill('SIGKILL')
      await new Promise((resolve) => child.once('close', resolve))
    }
    return { refused, leave }
  }

  it('are told so above the ceiling without having asked, and keep nobody else out', async () => {
    const before = descriptors()
    const { refused: told, leave } = crowd(CEILING * 10)
    expect(await told).toBe(CEILING * 9)
    await eventually(() => descriptors() - before <= 2 * CEILING + 2) // a socket and a pidfd each
    const one = await askAsAlice(http('GET', '/v1/containers'))
    expect([one.status, code(one)]).toEqual([429, 'HW_TOO_MANY_RUNS'])
    expect((await ask(http('GET', '/v1/containers'))).status).toBe(200)
    await leave()
    await eventually(async () => (await askAsAlice(http('GET', '/v1/containers'))).status === 200)
    await eventually(() => descriptors() <= before + 2)
  })

  it('do not fill the daemon with requests that are never complete', async () => {
    const upgrade =
      'POST /v1/runs HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: hepwrap\r\n\r\n'
    const large = 4 * 1024 * 1024
    const half = Buffer.concat([
      Buffer.from(upgrade),
      frameHeader(FRAME.request, large),
      Buffer.alloc(large - 1, ' '),
    ])
    const before = process.memoryUsage().arrayBuffers
    const { refused, leave } = crowd(CEILING, half)
    let peak = 0
    const watch = setInterval(
      () => (peak = Math.max(peak, process.memoryUsage().arrayBuffers - before)),
      5,
    )
    await refused
    clearInterval(watch)
    await leave()
    expect(peak / 1024 ** 2).toBeLessThan(60) // of 80 that were sent
  })
})

describe('ACCEPTANCE 36: a connection', () => {
  it('leaves no descriptor behind, however it ends', async () => {
    await ask(http('GET', '/v1/containers'))
    const before = descriptors()
    const sockets: Socket[] = []
    for (let count = 0; count < 100; count++) {
      const socket = connect(path)
      socket.on('error', () => undefined).resume()
      sockets.push(socket)
    }
    await Promise.all(
      sockets.map((socket) => new Promise((resolve) => socket.once('connect', resolve))),
    )
    sockets.forEach((socket, index) => (index % 2 === 0 ? socket.destroy() : socket.end('x')))
    await eventually(() => descriptors() <= before + 1)
  })
})
