// What is mounted where, and in which order: the site's mounts, HOME and cwd, the user's. Paths only; what they really name
// is judged by mounts/staging, which binds each tree with the mounts below it.
import { posix } from 'node:path'
import { HepwrapError, quote } from '../base/errors.js'
import { parseAlwaysEntry } from '../config/always-entry.js'
import { isAtOrBelow, reservedTarget } from '../config/reserved-target.js'
import { valuesOf, type SitePolicy } from '../rules/site-policy.js'
import { parseSize } from '../rules/sizes.js'
import type { MountRequest, RunRequest, TmpfsRequest } from '../wire/run-api.js'
import type { CallerMount, PlanMount, SiteMount, TmpfsMount } from './run-plan.js'

// Directories that make an image what it is: a HOME or cwd in them is the host's affair.
const OF_THE_IMAGE = /^\/(?:bin|sbin|lib|lib32|lib64|libx32|usr|etc|proc|sys|dev|boot)(?:\/|$)/
const MAX_COMPONENT_BYTES = 255

/** Parents before children. A user's mount takes the place of HOME or cwd; nothing takes the place of the site's. */
export function planMounts(
  request: Pick<RunRequest, 'mounts' | 'tmpfs'>,
  policy: SitePolicy,
): readonly PlanMount[] {
  const site = lastOfEachTarget(valuesOf(policy['mounts.always']).map(siteMount))
  const tmpfsCeiling = parseSize(policy['ceilings.tmpfs'].value)
  const wanted = request.mounts.filter(({ origin }) => origin === 'user')
  const user = [
    ...wanted.map(userMount),
    ...request.tmpfs.map((mount) => tmpfsMount(mount, tmpfsCeiling)),
  ]
  refuseConflicts(user, site)
  const chosen = request.mounts.flatMap((mount) => chosenMount(mount, policy))
  const mounts: PlanMount[] = [...site, ...user]
  for (const mount of byDepth(chosen)) if (isFree(mount.target, mounts, site)) mounts.push(mount)
  return byDepth(mounts)
}

/** The deepest mount that holds this path of the container. */
export function mountOver(path: string, mounts: readonly PlanMount[]): PlanMount | undefined {
  return byDepth(mounts).findLast(({ target }) => isAtOrBelow(path, target))
}

/** A more specific rule's own entry takes the place of what "..." has brought. */
const lastOfEachTarget = (mounts: readonly SiteMount[]): readonly SiteMount[] => [
  ...new Map(mounts.map((mount) => [mount.target, mount])).values(),
]

function siteMount(entry: string): SiteMount {
  const parsed = parseAlwaysEntry(entry)
  if (parsed === undefined)
    throw new HepwrapError('HW_INTERNAL', `mounts.always: ${quote(entry)} is malformed`)
  return { kind: 'site', ...parsed }
}

function userMount(request: MountRequest): CallerMount {
  const { source, fd, error, read_only: readOnly } = request
  if (error !== undefined)
    throw new HepwrapError(
      'HW_MOUNT_SOURCE',
      `cannot mount ${quote(source)}: ${plainReason(error)}`,
    )
  if (fd === undefined)
    throw new HepwrapError('HW_REQUEST_INVALID', `the mount of ${quote(source)} has no descriptor`)
  return {
    kind: 'caller',
    source,
    fd,
    target: userTarget(request.target),
    readOnly,
    origin: 'user',
  }
}

/** Without a size of its own it has the site's ceiling. */
const tmpfsMount = (request: TmpfsRequest, ceiling: number | undefined): TmpfsMount => ({
  kind: 'tmpfs',
  target: userTarget(request.target),
  sizeBytes: request.size_bytes ?? ceiling,
  mode: request.mode,
})

/** As docker does, ".." is resolved by its text; what it leads to is checked. */
function userTarget(written: string): string {
  if (!written.startsWith('/')) throw badTarget(written, 'is not an absolute path')
  if (written.includes('\0')) throw badTarget(written, 'holds a NUL byte')
  const target = normalized(written)
  const reserved = reservedTarget(target)
  if (reserved !== undefined) throw badTarget(written, `is reserved: ${reserved}`)
  if (target.split('/').some((part) => Buffer.byteLength(part) > MAX_COMPONENT_BYTES))
    throw badTarget(written, 'has a component that is too long')
  return target
}

/** "/a//b/../c/" is "/a/c". */
export function normalized(path: string): string {
  const clean = posix.normalize(path)
  return clean.length > 1 && clean.endsWith('/') ? clean.slice(0, -1) : clean
}

function refuseConflicts(user: readonly PlanMount[], site: readonly SiteMount[]): void {
  const taken = new Set<string>()
  for (const { target } of user) {
    if (taken.has(target)) throw badTarget(target, 'is used twice')
    taken.add(target)
    // Above one, too: the engine would make the site's mount point in the user's own directory, as root.
    const owner = site.find((mount) => areNested(mount.target, target))
    if (owner !== undefined)
      throw badTarget(target, `is in the way of the site's own mount at ${quote(owner.target)}`)
  }
}

/** HOME or cwd, if it can be mounted at all; left out without a word otherwise, because nobody asked for it. */
function chosenMount(request: MountRequest, policy: SitePolicy): readonly CallerMount[] {
  const { origin, source, fd, error, target, read_only: readOnly } = request
  if (origin === 'user' || !policy[`mounts.${origin}`].value) return []
  if (error !== undefined || fd === undefined) return []
  if (!target.startsWith('/') || target.includes('\0') || normalized(target) !== target) return []
  if (target === '/' || OF_THE_IMAGE.test(target) || reservedTarget(target) !== undefined) return []
  return [{ kind: 'caller', source, fd, target, readOnly, origin }]
}

// Below another mount it would be there already (cwd in HOME), or the user has put something else there on purpose. Then the
// engine, as root, is not asked to make a mount point in a home that may belong to a root-squashing server.
const isFree = (
  target: string,
  mounts: readonly PlanMount[],
  site: readonly SiteMount[],
): boolean =>
  !mounts.some((other) => isAtOrBelow(target, other.target)) &&
  !site.some((other) => areNested(other.target, target))

const areNested = (one: string, other: string): boolean =>
  isAtOrBelow(one, other) || isAtOrBelow(other, one)

const depthOf = (path: string): number => path.split('/').length

const byDepth = <T extends PlanMount>(mounts: readonly T[]): readonly T[] =>
  [...mounts].sort((one, other) => depthOf(one.target) - depthOf(other.target))

const PLAIN_REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  ENOTDIR: 'a part of the path is not a directory',
  ELOOP: 'too many symbolic links',
  ENAMETOOLONG: 'the name is too long',
  EMFILE: 'too many open files',
  ENFILE: 'too many open files on the node',
  EIO: 'input or output error',
  ESTALE: 'the file server knows it no more',
  ETIMEDOUT: 'the file server does not answer',
  EINVAL: 'not a path',
}

// The word is the client's: quoted unless it is one of ours.
const plainReason = (error: string): string =>
  Object.hasOwn(PLAIN_REASONS, error) ? (PLAIN_REASONS[error] ?? error) : quote(error)

const badTarget = (target: string, what: string) =>
  new HepwrapError('HW_MOUNT_TARGET', `mount target ${quote(target)} ${what}`)
