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
import { hasCode } from '../kernel/libc.js'
import {
  bindMount,
  makePrivate,
  makeReadOnly,
  makeShared,
  mountTmpfs,
  moveMount,
} from '../kernel/mount.js'
import { statDescriptor, statPath } from '../kernel/stat.js'
import type { TmpfsMount } from '../plan/run-plan.js'
import { readMounts } from '../proc/mount-info.js'
import { isBelow } from './judge.js'
import { placesDirectory, type StagedMount } from './staging.js'

type Mount = StagedMount | TmpfsMount

export interface Placeholders {
  /** For the engine. */
  readonly mounts: readonly Mount[]
  /** Puts the real mounts there: when init is at the gate. */
  fill(): void
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
    fill: () => {
      for (const [from, to] of moves) moveMount(from, to)
    },
  }
}

/** As it shall be in the container, for what the engine would set is the placeholder's alone. */
function settle({ source, readOnly, propagation }: StagedMount): void {
  if (propagation === 'rprivate') makePrivate(source, { recursive: true })
  if (!readOnly) return
  const entry = readMounts().findLast(({ mountPoint }) => mountPoint === source)
  makeReadOnly(source, entry?.options ?? [])
}

/** The deepest mount that holds this one's target. */
const parentOf = (mount: Mount, mounts: readonly Mount[]): Mount | undefined =>
  mounts
    .filter((other) => other !== mount && isBelow(mount.target, other.target))
    .sort((one, other) => one.target.length - other.target.length)
    .at(-1)

function makePlaceholder(place: string, { source }: StagedMount): void {
  if (statPath(source).kind === 'directory') mkdirSync(place, { mode: 0o755 })
  else closeSync(openSync(place, 'wx', 0o644))
  bindMount(place, place, { recursive: false })
  makeReadOnly(place, [])
  makeShared(place)
}

async function putInto(parent: StagedMount, mount: Mount): Promise<void> {
  const fd = await openInside(parent, mount)
  try {
    const wanted = mount.kind === 'tmpfs' ? 'directory' : statPath(mount.source).kind
    if (statDescriptor(fd).kind !== wanted) throw notThere(parent, mount, `is not a ${wanted}`)
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
  let fd = await openFile(parent.source, O_PATH)
  for (const part of parts) {
    try {
      const next = await openFile(`/proc/self/fd/${fd}/${part}`, O_PATH | constants.O_NOFOLLOW)
      closeSync(fd)
      fd = next
    } catch (error) {
      closeSync(fd)
      if (hasCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES'))
        throw notThere(parent, mount, 'is not there')
      throw error
    }
  }
  return fd
}

const notThere = (parent: StagedMount, { target }: Mount, what: string) =>
  new HepwrapError(
    'HW_MOUNT_TARGET',
    `mount target ${quote(target)} ${what} in what is mounted at ${quote(parent.target)}: make it first`,
  )
