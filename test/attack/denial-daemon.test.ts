// What one user makes the daemon and the engine hold: connections, output that nobody reads, pulls without end, runs whose
// clients stand still. He has his share, and bob is served meanwhile.
import { readdirSync, statSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { expect } from 'vitest'
import { startRun } from '../slurm/job-runs.js'
import { attacker, bareRequest, runBytes, sendAll, UPGRADE } from '../slurm/raw-request.js'
import { frameHeader, FRAME } from '../../src/wire/frames.js'
import { eventually } from '../world/eventually.js'
import { clientOf, expectNothingLeft } from '../world/runs.js'
import { as, expectSuccess } from '../world/world.js'
import { attack } from './attack.js'
import { expectBobServed, shared, watchDaemon } from './watched-daemon.js'

const RUNS = 6
const DRIP_PORT = 5077
const watched = watchDaemon({
  images: { allow: ['busybox:test', 'debian:test', `127.0.0.1:${DRIP_PORT}/*`] },
  policy: { ceilings: { runs_per_user: RUNS } },
  node: { stop_timeout_s: 1 },
  limits: { request_timeout_s: 3 },
})

attack(
  'D16',
  'own',
  'five hundred connections with all that each may send keep megabytes, not gigabytes',
  async () => {
    await expectBobServed()
    const [files, memory] = [watched.openFiles(), watched.rssMib()]
    const half = Buffer.concat([
      Buffer.from(UPGRADE),
      frameHeader(FRAME.request, 4 * 1024 ** 2),
      Buffer.alloc(512 * 1024, 32),
    ])
    const header = `GET /v1/images HTTP/1.1\r\nHost: a\r\n${`X: ${'y'.repeat(1000)}\r\n`.repeat(15)}`
    const flood = sendAll(
      'alice',
      [...Array<Buffer>(150).fill(half), ...Array<string>(350).fill(header)],
      { seconds: 15 },
    )
    let most = 0
    const watch = setInterval(() => (most = Math.max(most, watched.rssMib())), 20)
    await expectBobServed()
    const answers = await flood
    clearInterval(watch)
    expect(answers.every(({ isClosed }) => isClosed)).toBe(true)
    expect(most).toBeLessThan(memory + 250)
    await eventually(() => watched.openFiles() <= files + 1)
  },
  90_000,
)

attack(
  'D17',
  'own',
  'runs asked for by several steps at once are as many as one user may have',
  async () => {
    const long = runBytes(bareRequest({ command: ['sleep', '60'] }))
    const crowds = [1, 2, 3].map(() =>
      sendAll('alice', Array<Buffer>(15).fill(long), { seconds: 4 }),
    )
    await expectBobServed()
    const answers = (await Promise.all(crowds)).flat()
    const count = (word: string) => answers.filter(({ text }) => text.includes(word)).length
    expect({ opened: count('"opened"'), refused: count('HW_TOO_MANY_RUNS') }).toEqual({
      opened: RUNS,
      refused: 45 - RUNS,
    })
    await expectNothingLeft(undefined, 15_000)
  },
)

/** What the engine has written of its containers' output. */
const engineDisk = async () =>
  Number(
    expectSuccess(await as('root').run(['du', '-sk', '/var/lib/docker/containers'])).stdout.split(
      '\t',
    )[0],
  ) / 1024

async function unreadOutput(stream: 'stdout' | 'stderr'): Promise<void> {
  await expectBobServed()
  const [memory, disk] = [watched.rssMib(), await engineDisk()]
  const name = `loud-${stream}`
  const run = startRun('alice', [
    '--name',
    name,
    'busybox:test',
    'sh',
    '-c',
    `echo running; yes ${'x'.repeat(500)} ${stream === 'stderr' ? '>&2' : ''}`,
  ])
  await eventually(() => run.stdoutSoFar().includes('running'))
  const client = await clientOf(name)
  process.kill(client.pid, 'SIGSTOP') // as alice could: it never reads again
  for (let count = 0; count < 3; count++) await expectBobServed()
  expect(watched.rssMib()).toBeLessThan(memory + 150)
  expect(await engineDisk()).toBeLessThan(disk + 20)
  process.kill(client.pid, 'SIGKILL')
  await run.result
  await expectNothingLeft('^yes ')
}

attack(
  'D18',
  'own',
  'output without end that nobody reads stays with the container that writes it',
  () => unreadOutput('stdout'),
  90_000,
)

attack(
  'D19',
  'own',
  'errors without end that nobody reads stay with the container that writes them',
  () => unreadOutput('stderr'),
  90_000,
)

attack(
  'D20',
  'own',
  'images of a registry that never ends its answer keep only who asked for them waiting',
  async () => {
    const dripping = new Set<Socket>()
    const drip = createServer((socket) => {
      dripping.add(socket)
      const timer = setInterval(() => socket.write('H'), 200)
      socket
        .on('error', () => undefined)
        .on('close', () => clearInterval(timer))
        .resume()
    }).listen(DRIP_PORT, '127.0.0.1')
    const files = watched.openFiles()
    const wants = Array.from({ length: RUNS }, (_, n) =>
      runBytes(bareRequest({ image: `127.0.0.1:${DRIP_PORT}/endless/${n}:x`, pull: 'missing' })),
    )
    const pulling = sendAll('alice', wants, { seconds: 5 })
    await eventually(() => dripping.size > 0)
    await expectBobServed()
    await pulling // hangs up
    await eventually(() => watched.rows().every(({ state }) => state !== 'RUNNING'), {
      timeoutMs: 15_000,
    })
    for (const row of watched.rows().slice(-RUNS))
      expect(row).toMatchObject({ image_id: null, started_at: null })
    await eventually(() => watched.openFiles() <= files + 2, { timeoutMs: 15_000 })
    await expectBobServed()
    drip.close()
    for (const socket of dripping) socket.destroy()
  },
  90_000,
)

attack(
  'D21',
  'own',
  'clients that are stopped hold their runs no longer than their job',
  async () => {
    const { id } = await as('alice').sbatch(
      `for n in 1 2 3 4; do hepwrap run --name held-$n busybox:test sh -c 'yes' >/dev/null & done
     until [ "$(pgrep -u $USER -xc yes)" = 4 ]; do sleep 0.1; done
     pkill -STOP -u $USER -f 'hepwrap.* run --name held'; touch stopped; sleep 600`,
      ['-p', 'shared'],
    )
    await eventually(() => readdirSync('/home/alice').includes('stopped'))
    await expectBobServed()
    await as('alice').scancel(id)
    await expectNothingLeft('^yes$', 30_000)
    const rows = watched.rows().filter(({ name }) => String(name).startsWith('held-'))
    expect(rows.map(({ state }) => state)).toEqual(Array(4).fill('CANCELLED'))
  },
  90_000,
)

attack(
  'D22',
  'own',
  'signals and sizes by the hundred thousand from several runs at once hold nobody up',
  async () => {
    const before = watched.rssMib()
    const begin = runBytes(
      bareRequest({
        command: ['sh', '-c', 'trap "" WINCH USR1; echo running; sleep 60'],
        tty: true,
        terminal: { rows: 24, columns: 80 },
      }),
    )
    const unit = (type: number, text: string) =>
      Buffer.concat([frameHeader(type, text.length), Buffer.from(text)])
    const units = [
      unit(FRAME.signal, '{"signal":"USR1"}'),
      unit(FRAME.resize, '{"rows":30,"columns":90}'),
    ]
    const floods = units.map((one) =>
      as('alice')
        .startSrun([...shared, 'python3', attacker('flood'), '4', '300000'])
        .child.stdin?.end(Buffer.concat([Buffer.from(`${begin.length}\n`), begin, one])),
    )
    expect(floods).toHaveLength(2)
    await eventually(() => watched.rows().filter(({ state }) => state === 'RUNNING').length === 2)
    await expectBobServed()
    await expectBobServed()
    await expectNothingLeft(undefined, 20_000)
    expect(watched.rssMib()).toBeLessThan(before + 150)
  },
  90_000,
)

attack(
  'D23',
  'own',
  'the log of an hour of refusals is a line each, of bounded length',
  async () => {
    const size = () => statSync(`${watched.daemon.stateDirectory}/../hepwrapd.log`).size
    const before = size()
    const long = 'x'.repeat(1000)
    await sendAll(
      'alice',
      Array<Buffer>(200).fill(runBytes(bareRequest({ image: long, command: [long.repeat(100)] }))),
    )
    expect(size() - before).toBeLessThan(200 * 2048)
    watched.expectSound()
  },
)
