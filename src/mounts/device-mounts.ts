// Through which mounts of a container a device can be opened. On cgroup v2 no filter of ours stands before the nodes that an
// image has brought, or that a mounted directory has; nodev does, for whoever comes by the mount (docs/decisions/0011). Pure.
import type { MountEntry } from '../proc/mount-info.js'

/**
 * Mounts of file systems in which only engine and kernel can have put nodes: the tmpfs that the engine made at /dev, terminals, and
 * files of that tmpfs elsewhere (the engine hides files of /proc behind its /dev/null).
 */
export function ownDevices(mounts: readonly MountEntry[]): readonly MountEntry[] {
  const made = mounts.filter(({ mountPoint }) => mountPoint === '/dev')
  const [dev] = made
  // A volume of the image's at /dev is a directory of the engine's disk, which may be a tmpfs, too: it has another root.
  if (made.length !== 1 || dev?.fsType !== 'tmpfs' || dev.root !== '/') return []
  return mounts.filter(({ fsType, device }) => fsType === 'devpts' || device === dev.device)
}

/** Those through which any other device could be opened. */
export function openToDevices(mounts: readonly MountEntry[]): readonly MountEntry[] {
  const own = new Set(ownDevices(mounts))
  return mounts.filter((mount) => !mount.isNoDevices && !own.has(mount))
}
