// /etc/passwd and /etc/group of an image, which the engine opens and reads to the end, as root and without a time limit, before it
// starts a container (Docker 20.10, daemon/oci_linux.go getUser). A pipe there holds it, and the container's lock, for ever; a
// device like /dev/urandom costs it a core besides. So they are looked at first: once an image, for its content does not change.
import type { IncomingMessage } from 'node:http'
import { posix } from 'node:path'
import type Docker from 'dockerode'
import { HepwrapError } from '../base/errors.js'
import { asBody } from './create-options.js'
import { isNotFound } from './engine-errors.js'
import type { ContainerSpec } from './engine.js'

/** Headers of `HEAD /containers/ID/archive`; the mode is Go's os.FileMode. */
interface PathStat {
  readonly mode: number
  readonly size: number
  /** Followed to its end, inside of the image. */
  readonly linkTarget: string
}

const FILES = ['/etc/passwd', '/etc/group']
const MAX_BYTES = 1024 * 1024
const SYMLINK = 2 ** 27
/** Directory, symlink, device, pipe, socket, character device, irregular. */
const NOT_REGULAR = [31, 27, 26, 25, 24, 21, 19].map((bit) => 2 ** bit)
const MAX_REMEMBERED = 1000

/** Throws HW_IMAGE_REFUSED for an image whose files are not ordinary ones. `known` are images that were looked at. */
export async function requireOrdinaryAccounts(
  docker: Docker,
  { name, imageId, labels }: ContainerSpec,
  known: Set<string>,
): Promise<void> {
  if (known.has(imageId)) return
  // Never started, without a mount: the archive is the image's own. By the run's name, so that undo knows it.
  const request = { name, Image: imageId, Labels: { ...labels }, Cmd: [''] }
  const probe = await docker.createContainer(asBody(request))
  try {
    const volumes = await volumesOf(probe)
    for (const file of FILES) await requireOrdinary(probe, file, volumes)
  } finally {
    await probe.remove({ force: true, v: true })
  }
  if (known.size >= MAX_REMEMBERED) known.clear()
  known.add(imageId)
}

/** Where the image wants volumes: what is seen there is the volume's, and the engine reads what lies below it. */
async function volumesOf(probe: Docker.Container): Promise<readonly string[]> {
  const { Config } = await probe.inspect()
  const volumes = Config.Volumes as Readonly<Record<string, object>> | null | undefined
  return Object.keys(volumes ?? {}).map((path) => posix.join('/', path, '/'))
}

async function requireOrdinary(
  probe: Docker.Container,
  file: string,
  volumes: readonly string[],
): Promise<void> {
  const named = await statPath(probe, file)
  const isLink = named !== undefined && isMode(named.mode, SYMLINK)
  const path = isLink ? named.linkTarget : file
  const hidden = volumes.find((volume) => [file, path].some((one) => `${one}/`.startsWith(volume)))
  if (hidden !== undefined)
    throw new HepwrapError(
      'HW_IMAGE_REFUSED',
      `the image has a VOLUME over ${file}, which the engine would read`,
    )
  const found = isLink ? await statPath(probe, path) : named
  if (found === undefined) return
  if (NOT_REGULAR.some((bit) => isMode(found.mode, bit)) || found.size > MAX_BYTES)
    throw new HepwrapError(
      'HW_IMAGE_REFUSED',
      `the image's ${file} is not an ordinary file of at most ${MAX_BYTES} bytes, and the engine would read it`,
    )
}

/** Without bitwise operators, which take 2 ** 31 for a sign. */
const isMode = (mode: number, bit: number): boolean => Math.floor(mode / bit) % 2 === 1

async function statPath(probe: Docker.Container, path: string): Promise<PathStat | undefined> {
  try {
    const reply = (await probe.infoArchive({ path })) as unknown as IncomingMessage
    reply.resume()
    const header = String(reply.headers['x-docker-container-path-stat'])
    return JSON.parse(Buffer.from(header, 'base64').toString()) as PathStat
  } catch (thrown) {
    if (isNotFound(thrown)) return undefined
    throw thrown
  }
}
