// The engine reads passwd and group of the image, as root and before anything of ours is in it, to start a run as uid and gid.
import { afterAll, beforeAll, expect } from 'vitest'
import { type Daemon, startDaemon } from '../world/daemon.js'
import { attack } from './attack.js'
import { docker, type Entry, loadImage } from './hostile-image.js'
import { endDaemon, outcomes } from './hostile-run.js'

let daemon: Daemon
beforeAll(async () => {
  daemon = await startDaemon({ config: { images: { allow: ['*:test'] } } })
})
afterAll(() => endDaemon(daemon))

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
    const ended = await outcomes(
      daemon,
      images.map((_, index) => [`held${index}:test`, 'true']),
    )
    expect(new Set(ended)).toEqual(new Set(['125 HW_IMAGE_REFUSED']))
    expect(await docker('ps', '--all', '--quiet')).toBe('')
    expect(await outcomes(daemon, [['busybox:test', 'true']])).toEqual(['0 null'])
  },
)
