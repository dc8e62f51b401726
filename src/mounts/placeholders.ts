// What the engine is given in place of the user's directories: empty ones of ours, read-only, which receive the real mounts once
// the engine has made all its mount points. It makes a mount point that is missing, as root; here it cannot.
//
// INVARIANTS
// - No directory of a user's or the site's can be reached from the container before the engine is done: neither by a target below
//   another, nor by an image's symbolic link or VOLUME, nor by a name that is exchanged meanwhile.
// - A mount below another one is put there by us, at a directory or file that exists, found without following any link.
import { closeSync, constants, mkdirSync, open, openSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { HepwrapError, quote } from '../base/errors.js'
import { reservedTarget } from '../config/reserved-target.js'
import { hasCode } from '../base/has-code.js'
import {
  bindMount,
  makePrivate,
  makeReadOnly,
  makeShared,
  mountTmpfs,
  moveMount,
} from '../kernel/mount.js'
import { statDescriptor, statPath } from '../kernel/stat.js'
import type { PlanMount, TmpfsMount } from '../plan/run-plan.js'
import { readMounts, readMountsOf, type MountEntry } from '../proc/mount-info.js'
import { fuseServer, isBelow } from './judge.js'
import { placesDirectory, type StagedMount } from './staging.js'

type Mount = StagedMount | TmpfsMount

export interface Placeholders {
  /** For the engine. */
  readonly mounts: readonly Mount[]
  /** Puts the real mounts there: when init, which is this process, is at the gate. Throws HW_MOUNT_TARGET. */
  fill(initPid: number): void
}

/** `mounts` as staged, parents before children. Throws HW_MOUNT_TARGET, HW_MOUNT_FAILED. */
export async function holdBack(
  mounts: readonly Mount[],
  runDirectory: string,
): Promise<Placeholders> {
  const own: Mount[] = []
  const directory = placesDirectory(runDirectory)
  mkdirSync(directory, { mode: 0o700 })
  bindMount(directory, directory, { recursive: false })
  makePrivate(directory)
  const moves: (readonly [from: string, to: string])[] = []
  for (const [index, mount] of mounts.entries()) {
    if (mount.kind === 'bind') settle(mount)
    const parent = parentOf(mount, mounts)
    if (parent?.kind === 'bind') await putInto(parent, mount)
    else if (mount.kind === 'tmpfs') own.push(mount)
    else {
      const place = join(directory, `${index}`)
      makePlaceholder(place, mount)
      moves.push([mount.source, place])
      own.push({ ...mount, source: place, readOnly: true, propagation: 'rslave' })
    }
  }
  return {
    mounts: own,
    fill: (initPid) => {
      refuseLed(own, mountsOfInit(initPid))
      for (const [from, to] of moves) moveMount(from, to)
    },
  }
}

/** As it shall be in the container, for what the engine would set is the placeholder's alone. */
function settle({ source, readOnly, propagation }: StagedMount): void {
  if (propagation === 'rprivate') makePrivate(source, { recursive: true })
  if (!readOnly) return
  makeReadOnly(
    source,
    () => readMounts().findLast(({ mountPoint }) => mountPoint === source)?.options ?? [],
  )
}

/**
 * The mount of the engine's that holds this one's target: the outermost, for what lies in it is there by now; a tmpfs of the
 * engine's only where no directory of the host's is above it.
 */
function parentOf<M extends Placed>(mount: M, mounts: readonly M[]): M | undefined {
  const holders = mounts.filter((other) => other !== mount && isBelow(mount.target, other.target))
  return holders.find(({ kind }) => kind !== 'tmpfs') ?? holders[0]
}

type Placed = Pick<PlanMount, 'kind' | 'target'> | Pick<Mount, 'kind' | 'target'>

/** Reports whether the engine does not get to see this mount. */
export function isInside(mount: Placed, mounts: readonly Placed[]): boolean {
  const parent = parentOf(mount, mounts)
  return parent !== undefined && parent.kind !== 'tmpfs'
}

function mountsOfInit(pid: number): readonly MountEntry[] {
  try {
    return readMountsOf(pid)
  } catch (cause) {
    throw new HepwrapError('HW_ENGINE_FAILED', `init, process ${pid}, is gone`, { cause })
  }
}

/** A link of the image may have led the engine to a place that no text of a target can name. */
function refuseLed(own: readonly Mount[], inside: readonly MountEntry[]): void {
  for (const mount of own) {
    if (mount.kind !== 'bind') continue
    const place = mount.source.split('/').slice(-3).join('/') // RUNID/places/N, whatever file system it lies on
    const found = inside.filter(({ root }) => root.endsWith(`/${place}`))
    if (found.length === 0)
      throw new HepwrapError(
        'HW_ENGINE_FAILED',
        `the engine has not mounted what it was given for ${quote(mount.target)}: does it share hepwrapd's mount namespace?`,
      )
    for (const { mountPoint } of found) {
      const reserved = reservedTarget(mountPoint)
      if (reserved !== undefined)
        throw new HepwrapError(
          'HW_MOUNT_TARGET',
          `mount target ${quote(mount.target)} is led to ${quote(mountPoint)} by the image, and that is reserved: ${reserved}`,
        )
    }
  }
}

function makePlaceholder(place: string, { source }: StagedMount): void {
  if (statPath(source).kind === 'directory') mkdirSync(place, { mode: 0o755 })
  else closeSync(openSync(place, 'wx', 0o644))
  bindMount(place, place, { recursive: false })
  makeReadOnly(place, () => [])
  makeShared(place)
}

async function putInto(parent: StagedMount, mount: Mount): Promise<void> {
  const fd = await openInside(parent, mount)
  try {
    const wanted = mount.kind === 'tmpfs' ? 'directory' : statPath(mount.source).kind
    if (statDescriptor(fd).kind !== wanted) throw badPlace(parent, mount, `is not a ${wanted}`)
    const place = `/proc/self/fd/${fd}`
    if (mount.kind === 'bind') moveMount(mount.source, place)
    else mountTmpfs(place, `mode=${(mount.mode ?? 0o1777).toString(8)}${sizeOf(mount)}`)
  } finally {
    closeSync(fd)
  }
}

const sizeOf = ({ sizeBytes }: TmpfsMount): string =>
  sizeBytes === undefined ? '' : `,size=${sizeBytes}`

const openFile = promisify(open)
const O_PATH = 0o10000000 // asm-generic/fcntl.h; Node has no name for it

/** Step by step from one open directory to the next, none of them a link: nobody can exchange what we stand in. */
async function openInside(parent: StagedMount, mount: Mount): Promise<number> {
  const parts = mount.target.slice(parent.target.length).split('/').filter(Boolean)
  refuseServed(parent, mount, parts)
  let fd = await openFile(parent.source, O_PATH)
  for (const part of parts) {
    try {
      const next = await openFile(`/proc/self/fd/${fd}/${part}`, O_PATH | constants.O_NOFOLLOW)
      closeSync(fd)
      fd = next
    } catch (error) {
      closeSync(fd)
      if (hasCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES'))
        throw badPlace(parent, mount, 'is not there, or behind a link; make it first')
      throw error
    }
  }
  return fd
}

/** A file system that a user serves might never answer. No mount of the host's arrives here any more: it is private. */
function refuseServed(parent: StagedMount, mount: Mount, parts: readonly string[]): void {
  const path = [parent.source, ...parts].join('/')
  const served = readMounts().some(
    (entry) =>
      isBelow(entry.mountPoint, parent.source) &&
      isBelow(path, entry.mountPoint) &&
      fuseServer(entry) !== undefined,
  )
  if (served) throw badPlace(parent, mount, 'is served by a program of a user')
}

const badPlace = (parent: StagedMount, { target }: Mount, what: string) =>
  new HepwrapError(
    'HW_MOUNT_TARGET',
    `mount target ${quote(target)}, in what is mounted at ${quote(parent.target)}, ${what}`,
  )
