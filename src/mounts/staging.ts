// Sources bound where nobody but root can reach or swap them, for as long as the engine starts the container.
//
// INVARIANTS
// - All of it lies in RUNDIRECTORY/staging, which is root's own and a private mount: nothing spreads to other namespaces.
// - A staged mount is a slave of its source before anything else happens to it: detaching it cannot reach the host's mounts.
import {
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmdirSync,
  unlinkSync,
} from 'node:fs'
import { join } from 'node:path'
import { HepwrapError, quote, type ReasonCode } from '../base/errors.js'
import type { Caller } from '../identity/caller.js'
import { hasCode } from '../base/has-code.js'
import { bindMount, makePrivate, makeSlave, unmountDetached } from '../kernel/mount.js'
import { statDescriptor, statPath, type FileKind } from '../kernel/stat.js'
import type { CallerMount, PlanMount, SiteMount, TmpfsMount } from '../plan/run-plan.js'
import { readMounts } from '../proc/mount-info.js'
import { isDispensable, openSource } from './judged-source.js'
import { isBelow, type Law } from './judge.js'
import { realLaw, realPath } from './real-path.js'

/** Structurally engine's BindMount. */
export interface StagedMount {
  readonly kind: 'bind'
  readonly source: string
  readonly target: string
  readonly readOnly: boolean
  readonly propagation: 'rprivate' | 'rslave'
}

/** A mount of ours (home, cwd) or an optional one of the site that this run goes without. */
export interface SkippedMount {
  readonly source: string
  readonly target: string
  readonly code: ReasonCode
  readonly message: string
}

export interface Staging {
  /** In the order of the plan. */
  readonly mounts: readonly (StagedMount | TmpfsMount)[]
  readonly skipped: readonly SkippedMount[]
}

export interface StagingOptions {
  readonly caller: Caller
  /** Exists, root's own. */
  readonly runDirectory: string
  /** Absolute paths; they need not exist. */
  readonly law: Law
}

/** Stages the mounts of a plan, all or none. Throws HW_MOUNT_REFUSED, HW_MOUNT_SOURCE, HW_CALLER_UNKNOWN, HW_MOUNT_FAILED. */
export async function stageMounts(
  mounts: readonly PlanMount[],
  options: StagingOptions,
): Promise<Staging> {
  const directory = makeDirectory(stagingDirectory(options.runDirectory))
  const staged: (StagedMount | TmpfsMount)[] = []
  const skipped: SkippedMount[] = []
  try {
    const law = await realLaw(options.law)
    bindMount(directory, directory, { recursive: false })
    makePrivate(directory)
    for (const [index, mount] of mounts.entries()) {
      const place = join(directory, `m${index}`)
      const result = mount.kind === 'tmpfs' ? mount : await stage(mount, place, { ...options, law })
      if ('code' in result) skipped.push(result)
      else staged.push(result)
    }
    return { mounts: staged, skipped }
  } catch (error) {
    unstageMounts(options.runDirectory)
    throw error instanceof HepwrapError ? error : failed(error)
  }
}

/**
 * Undoes stageMounts, also of a daemon that died in the midst of it; nothing there is success. The container keeps what
 * the engine has bound by then.
 */
export function unstageMounts(runDirectory: string): void {
  const directory = stagingDirectory(runDirectory)
  const places = placesDirectory(runDirectory)
  // They stay as directories: to remove one unmounts what the container has there (rename(2) and rmdir(2), Linux 3.18).
  if (isDirectory(places)) detach(places)
  if (isDirectory(directory)) removeStaging(directory)
  requireNoMounts(runDirectory)
}

const stagingDirectory = (runDirectory: string): string => join(runDirectory, 'staging')
/** Of what the engine is given in place of the mounts; see placeholders. */
export const placesDirectory = (runDirectory: string): string => join(runDirectory, 'places')
const STACK_LIMIT = 16

/** EEXIST is an error: two runs never share a directory, and a run is staged once. */
function makeDirectory(directory: string): string {
  try {
    mkdirSync(directory, { mode: 0o700 })
    return directory
  } catch (error) {
    throw failed(error)
  }
}

const failed = (cause: unknown) =>
  new HepwrapError('HW_MOUNT_FAILED', cause instanceof Error ? cause.message : String(cause), {
    cause,
  })

async function stage(
  mount: CallerMount | SiteMount,
  place: string,
  options: StagingOptions,
): Promise<StagedMount | SkippedMount> {
  let fd: number | undefined
  try {
    const opened = await openSource(mount, options)
    fd = opened.fd
    bindTo(fd, place)
    return {
      kind: 'bind',
      source: place,
      target: mount.target,
      readOnly: opened.readOnly,
      propagation: mount.kind === 'site' && followsHost(place) ? 'rslave' : 'rprivate',
    }
  } catch (error) {
    if (!(error instanceof HepwrapError) || !isDispensable(mount, error.code)) throw error
    return { source: mount.source, target: mount.target, code: error.code, message: error.message }
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}

function bindTo(fd: number, place: string): void {
  const source = statDescriptor(fd)
  makePlace(place, source.kind)
  bindMount(`/proc/self/fd/${fd}`, place, { recursive: true })
  makeSlave(place, { recursive: true })
  const staged = statPath(place)
  if (staged.device !== source.device || staged.inode !== source.inode) {
    throw new HepwrapError('HW_MOUNT_FAILED', `${quote(place)} does not show what was bound there`)
  }
}

function makePlace(place: string, kind: FileKind): void {
  if (kind === 'directory') mkdirSync(place, { mode: 0o700 })
  else closeSync(openSync(place, 'wx', 0o600))
}

/** Reports whether mounts that the host makes later (autofs) arrive below this one. */
const followsHost = (place: string): boolean =>
  readMounts().some(({ mountPoint, slave }) => mountPoint === place && slave)

const placesIn = (directory: string): readonly string[] =>
  readdirSync(directory)
    .filter((name) => /^m[0-9]+$/.test(name))
    .map((name) => join(directory, name))

/** Slave first: see INVARIANTS. More than one mount lies there only if someone else has been at it. */
function detach(place: string): void {
  for (let depth = 0; depth < STACK_LIMIT; depth += 1) {
    try {
      makeSlave(place, { recursive: true })
    } catch (error) {
      if (hasCode(error, 'EINVAL', 'ENOENT')) return // not a mount point
      throw error
    }
    unmountDetached(place)
  }
}

/** All that is staged goes with the directory's own mount, at once: each umount waits for a grace period of the kernel's. */
function removeStaging(directory: string): void {
  detach(directory)
  for (const place of placesIn(directory)) {
    detach(place) // a copy, if the directory was not yet private
    removePlace(place)
  }
  rmdirSync(directory)
}

/** Whoever removes the run's directory next may trust that no file of a user's lies in it. */
function requireNoMounts(runDirectory: string): void {
  const real = realPath(runDirectory)
  const left = readMounts().find(({ mountPoint }) => isBelow(mountPoint, real))
  if (left === undefined) return
  throw new HepwrapError('HW_MOUNT_FAILED', `${quote(left.mountPoint)} is still mounted`)
}

/** What lay below the mount: our own empty directory or file. */
function removePlace(place: string): void {
  try {
    if (isDirectory(place)) rmdirSync(place)
    else unlinkSync(place)
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error
  }
}

function isDirectory(path: string): boolean {
  try {
    return lstatSync(path).isDirectory()
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false
    throw error
  }
}
