// Paths of the host that no user may mount, whatever its permissions say.
import { isAtOrBelow } from '../config/reserved-target.js'
import type { DaemonConfig } from '../config/schema.js'

// Who speaks to an engine is root; who writes its storage, too. Both /run and /var/run: the check of a text knows no links.
const BUILT_IN = [
  '/run/docker.sock',
  '/var/run/docker.sock',
  '/run/containerd',
  '/var/run/containerd',
  '/run/podman',
  '/var/run/podman',
  '/run/crio',
  '/var/run/crio',
  '/var/lib/docker',
  '/var/lib/containerd',
  '/var/lib/containers',
  // The container has its own, with the engine's masks on them.
  '/proc',
  '/sys',
  '/dev',
]

/** The built-in list, hepwrap's own directories, the engine's socket, and [mounts] deny. */
export const deniedMountPaths = ({ node, engine, mounts }: DaemonConfig): readonly string[] => [
  ...BUILT_IN,
  node.socket,
  node.run_dir,
  node.state_dir,
  engine.socket,
  ...mounts.deny,
]

/** The entry that denies this normalised absolute path: at it, below it, or above it, which would show it inside. */
export const deniedBy = (path: string, denied: readonly string[]): string | undefined =>
  denied.find((entry) => isAtOrBelow(path, entry) || isAtOrBelow(entry, path))
