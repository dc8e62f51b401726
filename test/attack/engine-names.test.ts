// Names, labels and sizes that an image brings along, and the words in it that somebody reads.
import { existsSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect } from 'vitest'
import { hepwrapRun, hepwrapRuns } from '../slurm/job-runs.js'
import { type Daemon, startDaemon } from '../world/daemon.js'
import { eventually } from '../world/eventually.js'
import { engine, mounts } from '../world/traces.js'
import { as, expectSuccess } from '../world/world.js'
import { attack } from './attack.js'
import { docker, loadImage } from './hostile-image.js'
import { endDaemon, holdHostile, inspectOnlyRun, outcomes } from './hostile-run.js'

const slurm = ['-p', 'shared']
let daemon: Daemon
beforeAll(async () => {
  daemon = await startDaemon({ config: { images: { allow: ['*:test', '*:latest'] } } })
})
afterAll(() => endDaemon(daemon))

const rssMib = () =>
  Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${daemon.pid}/status`, 'utf8'))![1]) / 1024
const lastRow = () => daemon.ledgerRows().at(-1)!

attack(
  'E36',
  'own',
  "labels in hepwrap's name make neither its runs nor others' containers its own",
  async () => {
    const labels = { 'hepwrap.run': 'f'.repeat(32), 'hepwrap.node': 'hepp/n1' }
    const run = await holdHostile('labels:test', { config: { Labels: labels } })
    const { Id, Config } = await inspectOnlyRun()
    expect(Config.Labels['hepwrap.run']).toBe(lastRow()['id'])
    const foreign = (await docker('run', '--detach', 'labels:test', 'sleep', '600')).trim()
    await daemon.kill('SIGKILL')
    await daemon.restart()
    await run.result
    await eventually(async () => (await engine('GET', `/containers/${Id}/json`)).status === 404)
    expect((await engine('GET', `/containers/${foreign}/json`)).body).toMatchObject({
      State: { Running: true },
    })
    await docker('rm', '--force', foreign)
  },
)

attack(
  'E37',
  'own',
  'megabytes of labels in an image cost the daemon no megabytes that stay',
  async () => {
    const Labels = Object.fromEntries(
      Array.from({ length: 100 }, (_, i) => [`l${i}`, 'x'.repeat(100_000)]),
    )
    await loadImage('huge:test', { config: { Labels } })
    const before = rssMib()
    const ended = await outcomes(daemon, Array<string[]>(4).fill(['huge:test', 'true']))
    expect(new Set(ended)).toEqual(new Set(['0 null']))
    expectSuccess(await as('bob').run(['hepwrap', 'images']))
    expect(rssMib()).toBeLessThan(before + 250)
    expect(JSON.stringify(lastRow()).length).toBeLessThan(4000)
    await docker('rmi', '--force', 'huge:test')
  },
)

attack('E38', 'own', 'an image of 120 layers runs and leaves nothing', async () => {
  const run = await holdHostile('layers:test', { layers: 120 })
  await run.release()
  expect(mounts().filter(({ mountPoint }) => mountPoint.includes('overlay2'))).toEqual([])
  await docker('rmi', '--force', 'layers:test')
})

attack(
  'E39',
  'own',
  'an image named like the id of another is the one of that name; ids are refused',
  async () => {
    const idOf = async (name: string) =>
      (await docker('image', 'inspect', '-f', '{{.Id}}', name)).trim()
    const [busybox, setuid] = [await idOf('busybox:test'), await idOf('setuid:test')]
    const hex = busybox.slice('sha256:'.length)
    await docker('tag', 'setuid:test', `${hex.slice(0, 12)}:latest`)
    expectSuccess(await hepwrapRun('alice', [hex.slice(0, 12), 'true'], { slurm }))
    expect(lastRow()['image_id']).toBe(setuid)
    const ids = [hex, busybox, `sha256:${hex.slice(0, 12)}`, `busybox@${busybox}`, hex.slice(0, 20)]
    const results = await hepwrapRuns(
      'alice',
      ids.map((id) => ['--pull', 'never', id, 'true']),
      { slurm },
    )
    expect(results.map(({ status }) => status)).toEqual(ids.map(() => 125))
    await docker('rmi', `${hex.slice(0, 12)}:latest`)
  },
)

attack(
  'E40',
  'own',
  "an image's ENTRYPOINT takes neither our init's place nor its words",
  async () => {
    const entrypoints = [
      ['/.hepwrap/init', 'sh'],
      ['/.hepwrap-x/init', 'sh'],
      [''],
      ['go', '0000', '/'],
    ]
    for (const [index, Entrypoint] of entrypoints.entries())
      await loadImage(`entry${index}:test`, {
        config: { Entrypoint, Cmd: ['-c', 'touch /home/alice/entered'] },
        entries: [
          { path: '.hepwrap/init', body: '#!/bin/sh\ntouch /home/alice/entered\n', mode: 0o644 },
        ],
      })
    const ended = await outcomes(
      daemon,
      entrypoints.map((_, index) => [`entry${index}:test`]),
    )
    const [found, missing] = ['126 HW_COMMAND_NOT_EXECUTABLE', '127 HW_COMMAND_NOT_FOUND']
    expect(ended).toEqual([found, missing, '125 HW_COMMAND_MISSING', missing])
    expect(existsSync('/home/alice/entered')).toBe(false)
  },
)

attack('E41', 'own', "an image's strings reach no terminal and no log line raw", async () => {
  const evil = '\u001b]0;owned\u0007\nhepwrap: all is well'
  await loadImage('strings:test', {
    config: { WorkingDir: `/${evil}`, Entrypoint: [`/${evil}`], Labels: { [evil]: evil } },
  })
  await loadImage('mountpoint:test', { config: { Volumes: { [`/proc/${evil}`]: {} } } })
  const runs = [
    ['--no-cwd', '--no-home', 'strings:test'],
    ['--entrypoint', '', 'strings:test', 'true'],
    ['mountpoint:test', 'true'],
  ]
  await outcomes(daemon, [...runs, ['strings:test', 'x']])
  const { stderr } = await hepwrapRun('alice', ['mountpoint:test', 'true'], { slurm })
  expect(stderr.split('\n').filter((line) => line.startsWith('hepwrap: '))).toHaveLength(1)
  expect(daemon.logText()).not.toMatch(/[\u001b\u0007]/)
})
