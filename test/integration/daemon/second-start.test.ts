// A daemon started beside one that serves (an admin tries another configuration) refuses before it touches anything of that one's.
import { mkdirSync, readFileSync, existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { newRunId } from '../../../src/base/ids.js'
import { testEngine } from '../../world/engine.js'
import { createDockerEngine } from '../../../src/engine/docker-engine.js'
import { parseImageRef } from '../../../src/plan/image-ref.js'
import { startDaemon, stopDaemons } from '../../world/daemon.js'
import { as } from '../../world/world.js'

afterAll(() => stopDaemons())

it('leaves the containers and the run directories of the first alone', async () => {
  const daemon = await startDaemon()
  const engine = createDockerEngine({
    socketPath: testEngine.socketPath,
    node: 'hepp/n1',
    runDir: '/run',
  })
  const image = await engine.findImage(parseImageRef('busybox:test'))
  const runId = newRunId()
  const directory = join(daemon.runDirectory, 'runs', runId)
  mkdirSync(directory)
  const id = await engine.create({
    name: `hepwrap-${runId}`,
    imageId: image?.id ?? '',
    argv: ['sleep', '60'],
    env: {},
    labels: { 'hepwrap.run': runId, 'hepwrap.node': 'hepp/n1' },
    uid: 2001,
    gid: 2001,
    groups: [],
    tty: false,
    interactive: false,
    network: 'none',
    readOnlyRootfs: true,
    devices: [],
    shmSizeBytes: undefined,
    ulimits: [],
    mounts: [],
    runtime: '',
  })
  await engine.start(id)
  const config = readFileSync(daemon.configPath, 'utf8')
  const elsewhere = join(daemon.stateDirectory, '../second.toml')
  writeFileSync(elsewhere, config.replace(/state_dir = .*/, 'state_dir = "/srv/second-state"'))
  const argv = ['node', '/opt/hepwrap/dist/bin/hepwrapd.js', '--config', elsewhere]
  const second = await as('root').run(argv)
  expect(second.stderr).toContain('another program answers at "/run/hepwrap/hepwrapd.sock"')
  expect(second.status).toBe(1)
  expect(await engine.listOwn()).toEqual([{ id, runId, running: true }])
  expect(existsSync(directory)).toBe(true)
  await engine.remove(id)
})
