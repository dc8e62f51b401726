// Frames as no client would send them, before and during a run. A broken client ends its own run, and nothing else.
import { expect } from 'vitest'
import { FRAME, frame, frameHeader } from '../../src/wire/frames.js'
import { bareRequest, runBytes, UPGRADE } from '../slurm/raw-request.js'
import { eventually } from '../world/eventually.js'
import { leftovers, nothing } from '../world/traces.js'
import { as, expectSuccess } from '../world/world.js'
import { attack } from './attack.js'
import { attackScript, attempt, expectBobServed, shared, watchDaemon } from './watched-daemon.js'

const watched = watchDaemon({ limits: { request_timeout_s: 2 }, node: { stop_timeout_s: 1 } })

const sleeping = { command: ['sh', '-c', 'echo running; sleep 60'], interactive: true }
const signal = (name: string) => frame(FRAME.signal, { signal: name })

/** A run by hand, and what is sent when it runs. */
function speak(way: string, rest: Buffer, request: object = sleeping, seconds = 10) {
  const begin = runBytes(bareRequest(request))
  const input = Buffer.concat([Buffer.from(`${begin.length}\n`), begin, rest])
  const argv = [...shared, 'python3', attackScript('frames'), way, String(seconds)]
  return as('alice').srun(argv, { input })
}

/** Of alice's newest run, when nothing of it is left. */
const lastRecord = () =>
  eventually(
    async () => {
      const row = watched.rows().at(-1)
      if (row === undefined || row['state'] === 'RUNNING') return undefined
      expect(await leftovers()).toEqual(nothing)
      return row
    },
    { timeoutMs: 10_000 },
  )

attack(
  'X15',
  'own',
  'frames of every type with a length of 4 GB, before and during a run',
  async () => {
    const before = watched.rssMib()
    const types = Array.from({ length: 256 }, (_, type) => type)
    const early = await attempt(
      types.map((type) => Buffer.concat([Buffer.from(UPGRADE), frameHeader(type, 0xffffffff)])),
    )
    for (const { code, exit, isClosed, text } of early) {
      expect({ exit, isClosed }, text).toEqual({ exit: 125, isClosed: true })
      expect(['HW_REQUEST_INVALID', 'HW_REQUEST_TOO_LARGE']).toContain(code)
    }
    for (const type of [FRAME.stdin, FRAME.signal, FRAME.resize]) {
      const { stdout } = await speak(
        'whole',
        Buffer.concat([frameHeader(type, 0xffffffff), Buffer.alloc(9999)]),
      )
      expect(stdout).toMatch(/\nclosed$/)
      expect(await lastRecord()).toMatchObject({ state: 'CANCELLED', reason: 'HW_CLIENT_GONE' })
    }
    expect(watched.rssMib()).toBeLessThan(before + 100)
    await expectBobServed()
  },
)

attack('X16', 'own', 'frames of types that a client may not send end its run alone', async () => {
  const rows = watched.rows().length
  const again = frame(
    FRAME.request,
    bareRequest({ image: 'debian:test', command: ['touch', '/x'] }),
  )
  const close = frame(FRAME.close, { run_id: 'x', exit: 0 })
  const unknown = frame(255, Buffer.from('x'))
  for (const rest of [again, close, unknown, frameHeader(FRAME.stdout, 5)]) {
    const { stdout } = await speak('whole', rest)
    expect(stdout).toMatch(/\nclosed$/)
    expect(await lastRecord()).toMatchObject({ state: 'CANCELLED', image: 'busybox:test' })
  }
  expect(watched.rows()).toHaveLength(rows + 4) // a second request is no second run
  const first = await attempt([
    Buffer.concat([
      Buffer.from(UPGRADE),
      frame(FRAME.stdin, Buffer.from('early')),
      runBytes(bareRequest()).subarray(UPGRADE.length),
    ]),
    Buffer.concat([Buffer.from(UPGRADE), signal('SIGKILL')]),
    Buffer.concat([Buffer.from(UPGRADE), frameHeader(FRAME.request, 0)]),
  ])
  for (const { code, exit } of first)
    expect({ code, exit }).toEqual({ code: 'HW_REQUEST_INVALID', exit: 125 })
})

attack('X17', 'own', 'a run that is spoken byte by byte is the run that was said', async () => {
  const rest = Buffer.concat([
    frame(FRAME.stdin, Buffer.from('first ')),
    frame(FRAME.stdin, Buffer.from('second\n')),
    frameHeader(FRAME.stdin, 0),
  ])
  const request = { command: ['sh', '-c', 'echo running; read a; echo "$a."'], interactive: true }
  const { stdout } = await speak('bytes', rest, request)
  expect(stdout).toContain('first second.\n')
  expect(stdout).toMatch(/"exit":0\}\nclosed$/)
  expect(await lastRecord()).toMatchObject({ state: 'COMPLETED', exit_code: 0 })
})

attack(
  'X18',
  'slow loris',
  'a client that stops in the middle of any frame, before its request, is closed',
  async () => {
    const request = runBytes(bareRequest())
    const header = Buffer.from(UPGRADE).length
    const drip = (at: number, bytes: number) => ({ start: request.subarray(0, at), drip: bytes })
    const verdicts = await attempt(
      [1, 4, 7, 8, 9, 50].flatMap((at) => [request.subarray(0, header + at), drip(header + at, 1)]),
      9,
    )
    for (const { code, isClosed, text } of verdicts) {
      expect(isClosed, text).toBe(true)
      expect(['HW_REQUEST_TIMEOUT', 'HW_REQUEST_INVALID'], text).toContain(code)
    }
    await expectBobServed()
  },
)

attack(
  'X19',
  'own',
  'signals and sizes that are none end that run alone; half of a frame in a run does no harm',
  async () => {
    const bad = [
      signal('SIGKILL\0'),
      signal('9'),
      signal('RTMIN+99'),
      signal('__proto__'),
      signal('toString'),
      frame(FRAME.signal, { signal: 'SIGTERM', pid: 1 }),
      frame(FRAME.signal, Buffer.from('{"signal":["SIGTERM"]}')),
      frame(FRAME.resize, { rows: -1, columns: 80 }),
      frame(FRAME.resize, { rows: 1e999, columns: 1.5 }),
      frame(FRAME.resize, Buffer.from('{"rows":1e999,"columns":80}')),
      frame(FRAME.resize, Buffer.alloc(1024, '[')),
    ]
    const outputs = await Promise.all(bad.slice(0, 4).map((rest) => speak('whole', rest)))
    outputs.push(...(await Promise.all(bad.slice(4, 8).map((rest) => speak('whole', rest)))))
    outputs.push(...(await Promise.all(bad.slice(8).map((rest) => speak('whole', rest)))))
    for (const { stdout } of outputs) expect(stdout).toMatch(/closed$/)
    expect(await lastRecord()).toMatchObject({ state: 'CANCELLED' })
    const half = frameHeader(FRAME.signal, 100)
    const short = { command: ['sh', '-c', 'echo running; sleep 1'] }
    expect((await speak('whole', half, short)).stdout).toMatch(/"exit":0\}\nclosed$/)
  },
)

attack(
  'X20',
  'own',
  'a client that hangs up with everything unread leaves a closed record and nothing else',
  async () => {
    const files = watched.openFiles()
    const loud = { command: ['sh', '-c', 'echo running; yes'] }
    expectSuccess(await speak('leave', Buffer.alloc(0), loud))
    expect(await lastRecord()).toMatchObject({ state: 'CANCELLED', reason: 'HW_CLIENT_GONE' })
    await eventually(() => watched.openFiles() <= files + 1)
  },
)

attack(
  'X21',
  'CVE-2025-38236',
  'out-of-band bytes within a request do not get past its check',
  async () => {
    const { stdout } = await speak('oob', Buffer.alloc(0), {
      command: ['sh', '-c', 'echo running; sleep 1'],
    })
    expect(stdout).toMatch(/closed$/)
    expect(stdout).not.toContain('HW_INTERNAL')
    await expectBobServed()
    watched.expectSound()
  },
)

attack(
  'X22',
  'own',
  'descriptors sent along with a request do not stay in the daemon',
  async () => {
    const files = watched.openFiles()
    const short = { command: ['sh', '-c', 'echo running; sleep 1'] }
    const { stdout } = await speak('rights', frame(FRAME.stdin, Buffer.alloc(400)), short)
    expect(stdout).toMatch(/"exit":0\}\nclosed$/)
    expect(watched.openFiles()).toBeLessThan(files + 20)
  },
)
