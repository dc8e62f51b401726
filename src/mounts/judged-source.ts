// The source of one mount: opened, judged by what it really is, and held by a descriptor from then on.
import { closeSync } from 'node:fs'
import { HepwrapError, quote, type ReasonCode } from '../base/errors.js'
import type { Caller } from '../identity/caller.js'
import type { CallerMount, SiteMount } from '../plan/run-plan.js'
import { readMounts } from '../proc/mount-info.js'
import { objectionTo, type Law } from './judge.js'
import { openCallersDescriptor, openSitesPath, readSource } from './source.js'

export interface Judges {
  /** Whose descriptors they are. */
  readonly caller: Caller
  /** Its paths real: realLaw. */
  readonly law: Law
}

export interface OpenSource {
  readonly fd: number
  readonly readOnly: boolean
  /** The real path of a caller's source. */
  readonly path: string
}

export async function openSource(
  mount: CallerMount | SiteMount,
  options: Judges,
): Promise<OpenSource> {
  if (mount.kind === 'caller') return openJudged(mount, options)
  const fd = await openSitesPath(mount.source)
  if (fd !== undefined) return { fd, readOnly: mount.readOnly, path: mount.source }
  throw new HepwrapError(
    'HW_MOUNT_SOURCE',
    `${quote(mount.source)} of the site's configuration does not exist`,
  )
}

async function openJudged(mount: CallerMount, { caller, law }: Judges): Promise<OpenSource> {
  const fd = await openCallersDescriptor(caller, mount.fd, mount.source)
  try {
    const facts = readSource(fd)
    const objection = objectionTo(facts, mount.readOnly, { ...law, mounts: readMounts() })
    const { path } = facts
    if (objection === undefined) return { fd, readOnly: mount.readOnly, path }
    const { code, text, decidedBy } = objection
    // Nobody asked for HOME and cwd to be writable.
    if (code === 'HW_MOUNT_READ_ONLY' && mount.origin !== 'user')
      return { fd, readOnly: true, path }
    const real = path === mount.source ? '' : ` (really ${quote(path)})`
    const rule = decidedBy === undefined ? {} : { rule: decidedBy }
    throw new HepwrapError(code, `${quote(mount.source)}${real} ${text}`, rule)
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

/** A refused mount that the user did not ask for is left out; a caller who is gone, or a failure, ends the run. */
export const isDispensable = (mount: CallerMount | SiteMount, code: ReasonCode): boolean =>
  mount.kind === 'site'
    ? mount.optional && code === 'HW_MOUNT_SOURCE'
    : mount.origin !== 'user' && (code === 'HW_MOUNT_REFUSED' || code === 'HW_MOUNT_SOURCE')
