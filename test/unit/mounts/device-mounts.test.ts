// Which mounts of a container may hold devices: told by the lines of mountinfo that engines leave.
import { describe, expect, it } from 'vitest'
import { openToDevices, ownDevices } from '../../../src/mounts/device-mounts.js'
import { parseMounts } from '../../../src/proc/mount-info.js'

const ROOT = '100 90 0:50 / / rw,nodev,relatime - overlay overlay rw,lowerdir=/l'
const PROC = '101 100 0:52 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw'
const DEV = '102 100 0:53 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k,mode=755'
const PTS = '103 102 0:54 / /dev/pts rw,nosuid,noexec,relatime - devpts devpts rw,gid=5'
const CONSOLE = '104 102 0:54 /0 /dev/console rw,nosuid,noexec,relatime - devpts devpts rw'
const KCORE = '105 101 0:53 /null /proc/kcore rw,nosuid - tmpfs tmpfs rw,size=65536k'
const SHM = '106 102 0:55 / /dev/shm rw,nosuid,nodev,noexec - tmpfs shm rw'
const usual = [ROOT, PROC, DEV, PTS, CONSOLE, KCORE, SHM]

const look = (...lines: readonly string[]) => {
  const mounts = parseMounts(lines.join('\n'))
  const paths = (found: readonly { readonly mountPoint: string }[]) =>
    found.map(({ mountPoint }) => mountPoint)
  return { own: paths(ownDevices(mounts)), open: paths(openToDevices(mounts)) }
}

describe('a container as the engine makes it', () => {
  it("has devices in the engine's /dev, its terminals, and what is hidden behind its /dev/null", () => {
    expect(look(...usual)).toEqual({
      own: ['/dev', '/dev/pts', '/dev/console', '/proc/kcore'],
      open: [],
    })
  })

  it('without nodev at its root is open there', () => {
    expect(look(ROOT.replace('nodev,', ''), ...usual.slice(1)).open).toEqual(['/'])
  })
})

describe('devices can be opened through', () => {
  it.each([
    [
      'a volume',
      '/vol',
      '110 100 254:0 /var/lib/docker/volumes/v/_data /vol rw,relatime - ext4 /dev/vda rw',
    ],
    ['a volume below /dev', '/dev/v', '110 102 254:0 /v/_data /dev/v rw - ext4 /dev/vda rw'],
    [
      "another tmpfs, that of a node's whole disk",
      '/t',
      '110 100 0:60 /v/_data /t rw - tmpfs none rw',
    ],
    ['another tmpfs with its own root', '/dev/t', '110 102 0:61 / /dev/t rw - tmpfs none rw'],
    ["the node's /dev", '/d', '110 100 0:6 / /d rw,nosuid - devtmpfs udev rw'],
    ['what says nodev of its file system alone', '/n', '110 100 0:62 / /n rw - fuse.x s rw,nodev'],
  ])('%s', (_, path, line) => {
    expect(look(...usual, line).open).toEqual([path])
  })
})

describe("/dev is not the engine's", () => {
  it.each([
    ['nothing is mounted there', [ROOT, PROC, PTS]],
    ['a volume is', [ROOT, '102 100 254:0 /v/_data /dev rw - ext4 /dev/vda rw', PTS]],
    ['a volume on a tmpfs is', [ROOT, '102 100 0:60 /v/_data /dev rw - tmpfs none rw', PTS]],
    ['something is mounted on it', [...usual, '110 102 0:63 / /dev rw - tmpfs tmpfs rw']],
  ])('where %s', (_, lines) => {
    const { own, open } = look(...lines)
    expect(own).toEqual([])
    expect(open).toContain('/dev/pts')
  })
})
