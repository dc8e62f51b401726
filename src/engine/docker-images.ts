// The images of a Docker Engine: found with every digest that they have, pulled, listed, imported, removed.
import { Readable } from 'node:stream'
import type Docker from 'dockerode'
import { familiarName, pullName, type ImageRef } from '../plan/image-ref.js'
import type { Dialect } from './dialect.js'
import type { ImageFacts, ListedImage, PullProgress } from './engine.js'
import { isNotFound, pullError } from './engine-errors.js'
import { followProgress } from './progress.js'

export async function findImage(
  docker: Docker,
  ref: ImageRef,
  { repoDigests }: Dialect,
): Promise<ImageFacts | undefined> {
  try {
    const image = await docker.getImage(pullName(ref)).inspect()
    const config = image.Config as Partial<Docker.ImageInspectInfo['Config']> | null
    const known = repoDigests(image)
    const namedDigests = digestsUnder(ref, known)
    return {
      id: image.Id,
      digest: namedDigests[0],
      namedDigests,
      digests: [...digestsOf(known), image.Id],
      entrypoint: asWords(config?.Entrypoint),
      command: asWords(config?.Cmd),
      workdir: config?.WorkingDir ?? '',
      platform: `${image.Os}/${image.Architecture}`,
      sizeBytes: image.Size,
    }
  } catch (thrown) {
    if (isNotFound(thrown)) return undefined
    throw thrown
  }
}

const asWords = (value: string | string[] | null | undefined): readonly string[] =>
  typeof value === 'string' ? [value] : (value ?? [])

/** The digests of `name@sha256:…` among RepoDigests where the name is the one asked for; of a digest asked for, that alone. */
function digestsUnder(ref: ImageRef, repoDigests: readonly string[]): readonly string[] {
  const names = new Set([`${ref.name}@`, `${ref.familiar}@`])
  const found = repoDigests.filter((entry) => names.has(entry.slice(0, entry.indexOf('@') + 1)))
  return digestsOf(found).filter((digest) => ref.digest === undefined || digest === ref.digest)
}

const digestsOf = (repoDigests: readonly string[]): readonly string[] => [
  ...new Set(repoDigests.map((entry) => entry.slice(entry.indexOf('@') + 1))),
]

export async function pullImage(
  docker: Docker,
  ref: ImageRef,
  onProgress: (progress: PullProgress) => void,
  signal: AbortSignal,
): Promise<void> {
  try {
    const stream = (await docker.pull(pullName(ref), { abortSignal: signal })) as Readable
    await followProgress(stream, ({ status = '', progressDetail: { current, total } = {} }) =>
      onProgress({
        status,
        ...(current === undefined ? {} : { current }),
        ...(total === undefined ? {} : { total }),
      }),
    )
  } catch (thrown) {
    throw pullError(ref.text, thrown)
  }
}

export async function listImages(
  docker: Docker,
  { repoDigests }: Dialect,
): Promise<readonly ListedImage[]> {
  const images = await docker.listImages()
  return images.flatMap((image) =>
    ((image.RepoTags as string[] | null) ?? [])
      .filter((name) => name !== '<none>:<none>')
      .map((name) => listed(name, image, repoDigests(image))),
  )
}

function listed(
  fullName: string,
  { Id, Size }: Docker.ImageInfo,
  repoDigests: readonly string[],
): ListedImage {
  const colon = fullName.lastIndexOf(':')
  const repository = fullName.slice(0, colon)
  const namedDigests = digestsOf(repoDigests.filter((one) => one.startsWith(`${repository}@`)))
  return {
    name: `${familiarName(repository)}${fullName.slice(colon)}`,
    id: Id,
    digest: namedDigests[0],
    namedDigests,
    digests: [...digestsOf(repoDigests), Id],
    sizeBytes: Size,
  }
}

export async function importImage(docker: Docker, tar: Buffer, name: string): Promise<void> {
  const stream = (await docker.importImage(Readable.from([tar]), { repo: name })) as Readable
  await followProgress(stream, () => undefined)
}

export async function removeImage(docker: Docker, ref: ImageRef): Promise<void> {
  try {
    await docker.getImage(pullName(ref)).remove()
  } catch (thrown) {
    if (!isNotFound(thrown)) throw thrown
  }
}
