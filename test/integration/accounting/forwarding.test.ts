// Runs of users on a real node, whose records go to a real aggregator: while it is there, while it is not, while it hangs, and
// whoever of the two is killed. Every record of the ledger is there at last, once; and no run notices.
import { copyFileSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Aggregator, startAggregator, stopAggregators } from '../../world/aggregator.js'
import { type ConfigOverrides, startDaemon, stopDaemons } from '../../world/daemon.js'
import { eventually } from '../../world/eventually.js'
import { as, expectSuccess } from '../../world/world.js'
import { hepwrapRun, hepwrapRuns, startRun } from '../../slurm/job-runs.js'
import { askAs } from '../../world/aggregator.js'
import { atAggregator, expectAllArrive, inLedger } from './records-at.js'

let aggregator: Aggregator

beforeEach(async () => {
  aggregator = await startAggregator()
})
afterEach(async () => {
  await stopDaemons()
  await stopAggregators()
})

const daemonOf = (config: ConfigOverrides = {}) =>
  startDaemon({ config: { ...config, accounting: { aggregator: aggregator.url } } })

const TRUE = ['busybox:test', 'true']
const run = async (...names: string[]) => {
  const runs = await hepwrapRuns(
    'alice',
    names.map((name) => ['--name', name, ...TRUE]),
  )
  expect(runs.map(({ status, stderr }) => [status, stderr])).toEqual(names.map(() => [0, '']))
}

describe('an aggregator that is there', () => {
  it('has each run as the ledger has it: ended well, failed, refused, and odd in every field', async () => {
    const daemon = await daemonOf()
    await hepwrapRuns('alice', [
      TRUE,
      ['busybox:test', 'false'],
      ['nowhere.example/none:1', 'true'],
      ['--name', 'odd', '--label', "a'b=\u202e\n", '--cpus', '1e300', '-m', '1e3t', ...TRUE],
      ['--privileged', ...TRUE],
      ['busybox:test', 'sh', '-c', "echo 'ünïcode' >/dev/null"],
    ])
    await expectAllArrive(aggregator, inLedger(daemon))
    expect(inLedger(daemon).length).toBeGreaterThanOrEqual(4)
    expect(daemon.log().filter(({ level }) => Number(level) >= 40)).toEqual([])
  })

  it('has a run that goes on, and its end after it', async () => {
    const daemon = await daemonOf()
    const going = startRun('alice', ['-i', '--name', 'going', 'busybox:test', 'cat'])
    await eventually(async () =>
      (await atAggregator(aggregator)).some(({ state }) => state === 'RUNNING'),
    )
    going.child.stdin?.end()
    expectSuccess(await going.result)
    await expectAllArrive(aggregator, inLedger(daemon))
    expect((await atAggregator(aggregator)).map(({ state }) => state)).toEqual(['COMPLETED'])
  })

  it('knows what the node is', async () => {
    await daemonOf({ node: { hepscore: 123.5 } })
    const nodes = await eventually(async () => {
      const reply = await askAs('root', aggregator, { path: '/v1/nodes' })
      const rows = (await reply.json()) as Record<string, unknown>[]
      return rows.length > 0 ? rows : undefined
    })
    expect(nodes).toHaveLength(1)
    expect(nodes[0]).toMatchObject({
      cluster: 'hepp',
      node: 'n1',
      engine: 'docker',
      hepscore: 123.5,
      kernel: expect.stringMatching(/^\d+\.\d+/) as unknown,
      os: expect.stringMatching(/Debian/) as unknown,
    })
    expect(Number(nodes[0]!['memory_bytes'])).toBeGreaterThan(2 ** 28)
  })
})

describe('an aggregator that is down', () => {
  it('before, while and after the runs: they go on as ever, and their records come later', async () => {
    await aggregator.stop()
    const daemon = await daemonOf()
    await run('before')
    await aggregator.restart()
    await expectAllArrive(aggregator, inLedger(daemon))
    const going = startRun('alice', ['-i', '--name', 'while', 'busybox:test', 'cat'])
    await eventually(() =>
      inLedger(daemon).some(({ started_at, name }) => name === 'while' && started_at !== null),
    )
    await aggregator.kill()
    going.child.stdin?.end()
    expectSuccess(await going.result)
    await run('after', 'and-after')
    const waiting = daemon.log().filter(({ msg }) => String(msg).includes('records wait'))
    expect(waiting.length).toBeGreaterThan(0)
    await daemon.restart() // what waits is on the disk
    await aggregator.restart()
    await expectAllArrive(aggregator, inLedger(daemon))
    expect(inLedger(daemon).map(({ state }) => state)).toEqual(Array(4).fill('COMPLETED'))
  })
})

describe('an aggregator that hangs', () => {
  it('keeps no run waiting, and not the stop of the daemon', async () => {
    const daemon = await daemonOf()
    await run('first')
    await expectAllArrive(aggregator, inLedger(daemon))
    await aggregator.kill('SIGSTOP')
    await run('second', 'third')
    // Whoever stops it kills it after 15 s: it does not wait the half minute that a batch may take.
    expect(await daemon.stop()).toBe(0)
    await aggregator.kill('SIGCONT')
    await daemon.restart()
    await expectAllArrive(aggregator, inLedger(daemon))
    expect(inLedger(daemon)).toHaveLength(3)
  })
})

describe('a daemon that is killed', () => {
  it('while it runs and forwards, again and again: every record is there once', async () => {
    const daemon = await daemonOf()
    for (let kill = 0; kill < 6; kill++) {
      const names = Array.from({ length: 8 }, (_, index) => `k${kill}-${index}`)
      const crowd = Promise.all(
        names.map((name) =>
          hepwrapRun('alice', ['--name', name, ...TRUE], { slurm: ['-p', 'shared'] }),
        ),
      )
      await eventually(() => inLedger(daemon).length > kill * 4)
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 1500))
      await daemon.kill('SIGKILL')
      await daemon.restart()
      await crowd
    }
    await eventually(() => inLedger(daemon).every(({ state }) => state !== 'RUNNING'))
    const own = inLedger(daemon)
    await expectAllArrive(aggregator, own)
    expect(own.length).toBeGreaterThan(12)
  }, 180_000)
})

describe('a ledger that is another one', () => {
  it('of a node that was installed anew: the records of both lives are there', async () => {
    const daemon = await daemonOf()
    await run('old')
    const old = inLedger(daemon)
    await expectAllArrive(aggregator, old)
    await daemon.stop()
    for (const name of readdirSync(daemon.stateDirectory))
      rmSync(join(daemon.stateDirectory, name), { recursive: true })
    await daemon.restart()
    await run('new', 'newer')
    await expectAllArrive(aggregator, old, inLedger(daemon))
  })

  it('put back from a copy of yesterday: it goes on under a new id, and nothing is lost', async () => {
    const daemon = await daemonOf()
    await run('copied')
    await expectAllArrive(aggregator, inLedger(daemon))
    await daemon.stop()
    const path = join(daemon.stateDirectory, 'ledger.db')
    copyFileSync(path, '/srv/yesterday.db')
    await daemon.restart()
    await run('lost-here')
    const lost = inLedger(daemon).filter(({ name }) => name === 'lost-here')
    await expectAllArrive(aggregator, inLedger(daemon))
    await daemon.stop()
    rmSync(`${path}-wal`, { force: true })
    copyFileSync('/srv/yesterday.db', path)
    await daemon.restart()
    await run('afterwards')
    await expectAllArrive(aggregator, lost, inLedger(daemon))
    expect(daemon.log().some(({ msg }) => String(msg).includes('older copy'))).toBe(true)
  })
})

describe('the ledger itself', () => {
  it('is nobody’s to read but root’s, whatever of it goes out', async () => {
    const daemon = await daemonOf()
    await run('mine')
    await expectAllArrive(aggregator, inLedger(daemon))
    const { status } = await as('alice').run(['cat', join(daemon.stateDirectory, 'ledger.db')])
    expect(status).not.toBe(0)
  })
})
