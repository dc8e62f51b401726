// Before anything of the image's runs: no device of its own, of its volumes' or of a mounted directory's can be opened, neither from
// inside nor through /proc by its user's other processes (docs/decisions/0011).
import { HepwrapError, quote } from '../base/errors.js'
import { hasCode } from '../base/has-code.js'
import { closeFd } from '../kernel/pidfd.js'
import { openToDevices, ownDevices } from '../mounts/device-mounts.js'
import { readMountsOf } from '../proc/mount-info.js'
import type { Init } from './gate.js'
import type { RunDeps } from './run-deps.js'

/** A mount of the node's may arrive in the container between our doing and our looking (an automounter's). */
const ATTEMPTS = 3

/** Throws HW_ENGINE_FAILED where a mount stays open to devices. */
export async function barDevices(
  init: Init,
  { mountThread }: Pick<RunDeps, 'mountThread'>,
): Promise<void> {
  const namespace = init.mountNamespace()
  try {
    let left = ''
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const own = ownDevices(readMountsOf(init.pid))
      if (own.length === 0)
        throw new HepwrapError(
          'HW_ENGINE_FAILED',
          "the container's /dev is not the engine's own: does the image have a VOLUME or a link there?",
        )
      await mountThread.setNoDevices(
        namespace,
        own.map(({ mountPoint }) => mountPoint),
      )
      const open = openToDevices(readMountsOf(init.pid))
      if (open.length === 0) return
      left = open.map(({ mountPoint }) => quote(mountPoint)).join(', ')
    }
    throw new HepwrapError('HW_ENGINE_FAILED', `devices can be opened through the mount at ${left}`)
  } catch (thrown) {
    if (thrown instanceof HepwrapError) throw thrown
    const why = hasCode(thrown, 'ENOSYS') ? 'the kernel is older than Linux 5.12' : reasonOf(thrown)
    throw new HepwrapError('HW_ENGINE_FAILED', `no nodev for the container's mounts: ${why}`, {
      cause: thrown,
    })
  } finally {
    closeFd(namespace)
  }
}

const reasonOf = (thrown: unknown): string =>
  thrown instanceof Error ? thrown.message : String(thrown)
