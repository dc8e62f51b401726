// Devices of the node that a run asks for by --device. The container gets the node's own number, owner and mode, so that its
// user opens what he can open outside, and no more.
import { lstatSync, realpathSync, type Stats } from 'node:fs'
import { HepwrapError, quote } from '../base/errors.js'

export interface HostDevice {
  readonly path: string
  readonly type: 'c' | 'b'
  readonly major: number
  readonly minor: number
}

/** Throws HW_DEVICE for what is absent, is no device, or is reached by a symbolic link: the engine would follow it as root. */
export function readDevice(path: string): HostDevice {
  const stats = read(path)
  const type = stats.isCharacterDevice() ? 'c' : stats.isBlockDevice() ? 'b' : undefined
  if (type === undefined) throw refuse(path, 'is not a device')
  return { path, type, ...numbersOf(stats.rdev) }
}

function read(path: string): Stats {
  let real: string
  try {
    real = realpathSync.native(path)
  } catch (cause) {
    throw refuse(path, 'does not exist on this node', cause)
  }
  if (real !== path) throw refuse(path, `is a link to ${quote(real)}`)
  return lstatSync(path)
}

/** Linux's split of dev_t: 12 bits of major between 8 and 12 bits of minor (makedev(3)). */
export function numbersOf(device: number): Pick<HostDevice, 'major' | 'minor'> {
  const high = Math.floor(device / 2 ** 32)
  const low = device % 2 ** 32
  const major = Math.floor(low / 2 ** 8) % 2 ** 12
  const minor = (low % 2 ** 8) + Math.floor(low / 2 ** 20) * 2 ** 8
  return { major: major + high * 2 ** 12, minor }
}

const refuse = (path: string, what: string, cause?: unknown) =>
  new HepwrapError('HW_DEVICE', `device ${quote(path)} ${what}`, { cause })
