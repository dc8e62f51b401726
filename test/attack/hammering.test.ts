// A user who asks as fast as he can: he waits, and nobody else does. The bucket is small here, so that it empties soon.
import { readdirSync } from 'node:fs'
import { afterAll, beforeAll, expect } from 'vitest'
import { sendAll, sendRaw, UPGRADE } from '../slurm/raw-request.js'
import { type Daemon, startDaemon, stopDaemons } from '../world/daemon.js'
import { eventually } from '../world/eventually.js'
import { leftovers, nothing } from '../world/traces.js'
import { as, expectSuccess } from '../world/world.js'
import { attack } from './attack.js'

const BURST = 20
const PER_SECOND = 4
let daemon: Daemon
beforeAll(async () => {
  const limits = { requests_per_second: PER_SECOND, requests_burst: BURST }
  daemon = await startDaemon({ config: { limits } })
})
afterAll(async () => {
  expect(await leftovers()).toEqual(nothing)
  await stopDaemons()
  expect(daemon.logText()).not.toMatch(/"level":(50|60)/)
})

const openFiles = () => readdirSync(`/proc/${daemon.pid}/fd`).length
const job = ['-Q', '-p', 'shared']
const queue = (count: number, seconds: number) =>
  as('alice').startSrun([
    ...job,
    'python3',
    '/opt/hepwrap/test/attack/attackers/queue.py',
    String(count),
    String(seconds),
  ])
const answeredIn = (text: string) => text.split('\n').filter(Boolean).slice(1).map(Number)
/** With full buckets. */
const rested = () => daemon.restart()
const slowed = () => daemon.log().filter(({ msg }) => String(msg).includes('is being slowed'))

attack(
  'D01',
  'own',
  'a user who hammers the socket from several processes waits, and another user is served before his backlog',
  async () => {
    const before = openFiles()
    const hammers = [1, 2, 3].map(() => queue(100, 60))
    await eventually(() => hammers.every(({ stdoutSoFar }) => stdoutSoFar().includes('asked')))
    for (const { child } of hammers) child.stdin?.end()
    for (let count = 0; count < BURST - 5; count++)
      expectSuccess(await as('bob').run(['hepwrap', 'ps']))
    const run = ['hepwrap', 'run', 'busybox:test', 'echo', 'served']
    expect(expectSuccess(await as('bob').srun([...job, ...run])).stdout).toBe('served\n')
    for (let count = 0; count < 2 * BURST; count++)
      expectSuccess(await as('root').run(['hepwrap', 'ps']))
    const answered = hammers.map(({ stdoutSoFar }) => answeredIn(stdoutSoFar()))
    expect(answered.flat().length).toBeGreaterThanOrEqual(BURST)
    expect(answered.flat().length).toBeLessThan(300)
    for (const order of answered) expect(order).toEqual([...order].sort((a, b) => a - b))
    expect(slowed()).toMatchObject([{ level: 40, uid: 2001 }]) // once a minute, and never of bob
    for (const { kill } of hammers) kill('SIGKILL')
    await Promise.all(hammers.map(({ result }) => result))
    await eventually(() => openFiles() <= before + 2)
  },
)

attack(
  'D02',
  'own',
  'a client that goes away while it waits is let go, and takes nobody’s turn',
  async () => {
    await rested()
    const before = openFiles()
    const crowd = queue(BURST + 200, 60)
    await eventually(() => crowd.stdoutSoFar().includes('asked'))
    await eventually(() => openFiles() > before + 200)
    const gone = Array.from({ length: 196 }, (_, index) => BURST + index)
    crowd.child.stdin?.end(`${gone.join('\n')}\n\n`)
    await eventually(() => openFiles() < before + 30, { timeoutMs: 5000 })
    const { stdout } = await crowd.result // the last four wait for four tokens, not for two hundred
    expect(answeredIn(stdout)).toEqual(
      Array.from({ length: BURST + 200 }, (_, number) => number).filter(
        (number) => !gone.includes(number),
      ),
    )
  },
)

attack('D07', 'own', 'of a run whose connection waits for its turn no byte is lost', async () => {
  await rested()
  const crowd = queue(BURST + 8, 30)
  await eventually(() => crowd.stdoutSoFar().includes('asked'))
  crowd.child.stdin?.end()
  const input = Buffer.from(Array.from({ length: 200_000 }, (_, line) => `${line}\n`).join(''))
  const run = ['hepwrap', 'run', '-i', 'busybox:test', 'cat']
  const { stdoutBytes } = expectSuccess(await as('alice').srun([...job, ...run], { input }))
  expect(stdoutBytes.equals(input)).toBe(true)
  expect(answeredIn(crowd.stdoutSoFar())).toHaveLength(BURST + 8) // it came after them
})

attack('D03', 'as CVE-2023-44487', 'pipelined requests are not served by one token', async () => {
  const one = 'GET /v1/containers HTTP/1.1\r\nHost: a\r\n\r\n'
  const { text, isClosed } = await sendRaw('alice', one.repeat(5000))
  expect(isClosed).toBe(true)
  expect(text.split('HTTP/1.1 ').length - 1).toBeLessThanOrEqual(1)
  const mixed = await sendRaw('alice', one + UPGRADE)
  expect(mixed.isClosed).toBe(true)
  expect(mixed.text).not.toContain('101 Switching')
})

attack('D04', 'own', 'a connection that is kept alive takes a token a request', async () => {
  await rested()
  const script = `
import socket, sys, time
s = socket.socket(socket.AF_UNIX); s.connect('/run/hepwrap/hepwrapd.sock'); s.settimeout(1)
count, end = 0, time.monotonic() + 4
while time.monotonic() < end:
    s.sendall(b'GET /v1/containers HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n')
    try:
        if b'HTTP/1.1 200' in s.recv(65536): count += 1
    except TimeoutError: break
print(count)`
  const { stdout } = await as('alice').srun([...job, 'python3', '-c', script])
  expect(Number(stdout)).toBeGreaterThanOrEqual(BURST)
  expect(Number(stdout)).toBeLessThan(BURST + 10 * PER_SECOND) // of thousands
})

attack('D05', 'own', 'URLs that are none are answered once a connection', async () => {
  const bad = 'GET /v1/containers/%/x HTTP/1.1\r\nHost: a\r\n\r\n'
  const [answer] = await sendAll('alice', [bad.repeat(1000)])
  expect(answer!.isClosed).toBe(true)
  expect(answer!.text.split('HTTP/1.1 ').length - 1).toBeLessThanOrEqual(1)
})

attack(
  'D24',
  'own',
  'expectations that nobody can meet are answered once a connection at most, and others are served meanwhile',
  async () => {
    await rested()
    const expecting = (what: string) => `GET / HTTP/1.1\r\nHost: a\r\nExpect: ${what}\r\n\r\n`
    const flood = sendAll('alice', [
      expecting('x').repeat(20_000),
      expecting('100-continue').repeat(20_000),
    ])
    for (let count = 0; count < BURST - 5; count++)
      expectSuccess(await as('bob').run(['hepwrap', 'ps']))
    for (const { text, isClosed } of await flood) {
      expect(isClosed).toBe(true)
      expect(text.split('HTTP/1.1 ').length - 1).toBeLessThanOrEqual(1)
    }
  },
)

attack('D06', 'own', 'the daemon stops although connections wait', async () => {
  const crowd = queue(BURST + 100, 30)
  await eventually(() => crowd.stdoutSoFar().includes('asked'))
  expect(await daemon.stop()).toBe(0)
  crowd.child.stdin?.end()
  await crowd.result
  await daemon.restart()
})
