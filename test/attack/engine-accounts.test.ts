// The engine reads passwd and group of the image, as root and before anything of ours is in it, to start a run as uid and gid.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, expect } from 'vitest'
import { type Daemon, startDaemon } from '../world/daemon.js'
import { as, expectSuccess } from '../world/world.js'
import { attack } from './attack.js'
import { docker, type Entry, loadImage } from './hostile-image.js'
import { endDaemon, outcomes } from './hostile-run.js'

let daemon: Daemon
beforeAll(async () => {
  daemon = await startDaemon({ config: { images: { allow: ['*:test'] } } })
})
afterAll(() => endDaemon(daemon))

attack(
  'E15',
  'like CVE-2022-36109',
  'groups of the image that are named like a number (Docker 20.10.24 takes them for it) give no group',
  async () => {
    mkdirSync('/scratch/cms', { recursive: true })
    writeFileSync('/scratch/cms/data', 'of cms\n', { mode: 0o640 })
    const close = 'chown -R root:cms /scratch/cms && chmod 0710 /scratch/cms'
    expectSuccess(await as('root').run(['sh', '-c', close]))
    const groups = ['3000:x:3001:', '2001:x:0:', '3000:x:6:\n2001:x:2001:']
    for (const [index, body] of groups.entries())
      await loadImage(`numbers${index}:test`, {
        entries: [{ path: 'etc/group', mode: 0o644, body: `${body}\n` }],
      })
    const read = ['sh', '-c', 'cat /cms/data >/home/alice/stolen']
    const runs = groups.map((_, index) => [
      '-v',
      '/scratch/cms:/cms',
      `numbers${index}:test`,
      ...read,
    ])
    const ended = await outcomes(daemon, runs)
    expect(existsSync('/home/alice/stolen')).toBe(false)
    expect(new Set(ended)).toEqual(new Set(['125 HW_ENGINE_FAILED']))
  },
)

attack(
  'E20',
  'own',
  'passwd and group that the engine would read for ever (a pipe, a device, a link to one) do not hold it',
  async () => {
    const pipe = (path: string): Entry => ({ path, type: 'fifo' })
    const urandom: Entry = { path: 'etc/passwd', type: 'character', device: [1, 9] }
    const images: Entry[][] = [
      [pipe('etc/passwd')],
      [pipe('etc/group')],
      [pipe('opt/pipe'), { path: 'etc/passwd', type: 'symlink', to: '../opt/pipe' }],
      [urandom],
      [{ path: 'etc/group', body: 'x:x:1:\n'.repeat(1_000_000) }],
    ]
    for (const [index, entries] of images.entries())
      await loadImage(`held${index}:test`, { entries })
    // What is seen below a VOLUME is a copy, in which a pipe may be missing.
    const config = { Volumes: { '/etc': {} } }
    await loadImage(`held${images.length}:test`, { entries: [pipe('etc/passwd')], config })
    const ended = await outcomes(
      daemon,
      [...images, config].map((_, index) => [`held${index}:test`, 'true']),
    )
    expect(new Set(ended)).toEqual(new Set(['125 HW_IMAGE_REFUSED']))
    expect(await docker('ps', '--all', '--quiet')).toBe('')
    expect(await outcomes(daemon, [['busybox:test', 'true']])).toEqual(['0 null'])
  },
)
