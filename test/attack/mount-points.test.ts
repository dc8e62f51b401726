// The engine makes a mount point that is missing, as root: never on the node, whatever leads it there.
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, expect } from 'vitest'
import { type Daemon, startDaemon } from '../world/daemon.js'
import { as, expectSuccess } from '../world/world.js'
import { attack } from './attack.js'
import { type Entry, loadImage } from './hostile-image.js'
import { endDaemon, outcomes } from './hostile-run.js'

const ground = '/scratch/points'
let daemon: Daemon
beforeAll(async () => {
  mkdirSync(`${ground}/of-root`, { recursive: true })
  writeFileSync(`${ground}/file`, 'hers\n')
  mkdirSync(`${ground}/directory`)
  expectSuccess(
    await as('root').run(['sh', '-c', `chown -R alice: ${ground}/file ${ground}/directory`]),
  )
  daemon = await startDaemon({ config: { images: { allow: ['*:test'] } } })
})
afterAll(() => endDaemon(daemon))

const closed = (target: string) => ['-v', `${ground}/of-root:${target}`]
const file = (target: string) => ['-v', `${ground}/file:${target}`]
const directory = (target: string) => ['-v', `${ground}/directory:${target}`]
const link = (path: string, to: string): Entry => ({ path, type: 'symlink', to })

function expectUntouched(): void {
  expect(readdirSync(`${ground}/of-root`)).toEqual([])
  expect(existsSync('/etc/nologin')).toBe(false)
}

attack(
  'E16',
  'own',
  'a target below another makes no file or directory there as root: /etc/nologin',
  async () => {
    const ended = await outcomes(daemon, [
      ['-v', '/etc:/e', ...file('/e/nologin'), 'busybox:test', 'true'],
      [...closed('/c'), ...directory('/c/made'), 'busybox:test', 'true'],
      [...closed('/c'), '--tmpfs', '/c/made', 'busybox:test', 'true'],
      [...closed('/c'), ...directory('/c/../c/a/b/c'), 'busybox:test', 'true'],
    ])
    expectUntouched()
    expect(new Set(ended)).toEqual(new Set(['125 HW_MOUNT_TARGET']))
  },
)

attack(
  'E17',
  'like CVE-2024-0132',
  'nor does one that a link of the image leads into another mount',
  async () => {
    const entries = [link('x', '/mnt'), link('srv', '/mnt/deeper'), link('home', '/mnt')]
    await loadImage('leads:test', { entries })
    await outcomes(daemon, [
      [...closed('/mnt'), ...file('/x/nologin'), 'leads:test', 'true'],
      [...closed('/mnt'), ...directory('/srv'), 'leads:test', 'true'],
      [...closed('/mnt'), '--tmpfs', '/x/made', 'leads:test', 'true'],
      [...closed('/mnt'), 'leads:test', 'true'], // HOME is at /home/alice
    ])
    expectUntouched()
  },
)

attack(
  'E18',
  'like CVE-2022-23648',
  'nor a VOLUME of the image in what the user mounts',
  async () => {
    await loadImage('inside:test', { config: { Volumes: { '/mnt/made': {}, '/mnt/a/b': {} } } })
    await outcomes(daemon, [[...closed('/mnt'), 'inside:test', 'true']])
    expectUntouched()
  },
)

attack('E19', 'own', 'what is there already is mounted upon, and nowhere by a link', async () => {
  mkdirSync(`${ground}/directory/inner`, { recursive: true })
  const lead = `ln -s /etc ${ground}/directory/led; touch ${ground}/directory/inner/own`
  expectSuccess(await as('root').run(['sh', '-c', lead]))
  const look = [
    'busybox:test',
    'sh',
    '-c',
    'test -e /d/inner/directory/inner/own && ! touch /d/inner/x',
  ]
  const ended = await outcomes(daemon, [
    [...directory('/d'), '-v', `${ground}:/d/inner:ro`, ...look],
    [...directory('/d'), ...file('/d/led/nologin'), 'busybox:test', 'true'],
    [...directory('/d'), ...directory('/d/led'), 'busybox:test', 'true'],
  ])
  expect(ended).toEqual(['0 null', '125 HW_MOUNT_TARGET', '125 HW_MOUNT_TARGET'])
  expect(statSync(`${ground}/directory`).uid).toBe(2001)
  expectUntouched()
})
