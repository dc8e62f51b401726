// Which paths of the host users may mount: the site's lists and what no site can lift. policy/checks/mounts asks it of
// texts, mounts/staging of what a descriptor really names.
import type { DaemonConfig } from '../config/schema.js'
import { isAtOrBelow } from '../config/reserved-target.js'
import { originText, type List, type SitePolicy } from '../rules/site-policy.js'

export interface LawEntry {
  readonly path: string
  readonly decidedBy: string
}

export interface MountLaw {
  /** Neither these, nor what is below or above them, which would show them inside. */
  readonly denied: readonly LawEntry[]
  /** Only what is at or below one of these. */
  readonly allowed: readonly LawEntry[]
  /** Only read-only: these, what is below, and what is above. */
  readonly readOnly: readonly LawEntry[]
  /** Where `allowed` ends. */
  readonly decidedBy: string
}

// Who speaks to an engine is root; who writes its storage, too. Both /run and /var/run: the check of a text knows no links.
const BUILT_IN = [
  '/run/docker.sock',
  '/var/run/docker.sock',
  '/run/docker',
  '/var/run/docker',
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

export function mountLaw(site: SitePolicy, { node, engine }: DaemonConfig): MountLaw {
  const own = [...BUILT_IN, node.socket, node.run_dir, node.state_dir, engine.socket]
  return {
    denied: [
      ...own.map((path) => ({ path, decidedBy: 'built in: never mounted' })),
      ...entriesOf(site['mounts.deny']),
    ],
    allowed: entriesOf(site['mounts.allow']),
    readOnly: entriesOf(site['mounts.read_only']),
    decidedBy: originText(site['mounts.allow'].by),
  }
}

const entriesOf = ({ entries }: List): readonly LawEntry[] =>
  entries.map(({ value, by }) => ({ path: value, decidedBy: originText(by, value) }))

/** The entry that this normalised absolute path lies at, below or above. */
export const touching = (path: string, entries: readonly LawEntry[]): LawEntry | undefined =>
  entries.find((entry) => isAtOrBelow(path, entry.path) || isAtOrBelow(entry.path, path))

export const covering = (path: string, entries: readonly LawEntry[]): LawEntry | undefined =>
  entries.find((entry) => isAtOrBelow(path, entry.path))
