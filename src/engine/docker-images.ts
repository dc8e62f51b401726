// The images of a Docker Engine: found with every digest that they have, pulled, listed, imported, removed.
import { Readable } from 'node:stream'
import type Docker from 'dockerode'
import { pullName, type ImageRef } from '../plan/image-ref.js'
import type { ImageFacts, ListedImage, PullProgress } from './engine.js'
import { isNotFound, pullError } from './engine-errors.js'
import { followProgress } from './progress.js'

export async function findImage(docker: Docker, ref: ImageRef): Promise<ImageFacts | undefined> {
  try {
    const image = await docker.getImage(pullName(ref)).inspect()
    const config = image.Config as Partial<Docker.ImageInspectInfo['Config']> | null
    const namedDigests = digestsUnder(ref, image.RepoDigests)
    return {
      id: image.Id,
      digest: namedDigests[0],
      namedDigests,
      digests: [...digestsOf(image.RepoDigests), image.Id],
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
function digestsUnder(ref: ImageRef, repoDigests: readonly string[] | null): readonly string[] {
  const names = new Set([`${ref.name}@`, `${ref.familiar}@`])
  const found = repoDigests?.filter((entry) => names.has(entry.slice(0, entry.indexOf('@') + 1)))
  return digestsOf(found).filter((digest) => ref.digest === undefined || digest === ref.digest)
}

const digestsOf = (repoDigests: readonly string[] | null | undefined): readonly string[] =>
  (repoDigests ?? []).map((entry) => entry.slice(entry.indexOf('@') + 1))

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

export async function listImages(docker: Docker): Promise<readonly ListedImage[]> {
  const images = await docker.listImages()
  return images.flatMap(({ Id, RepoTags, RepoDigests, Size }) =>
    ((RepoTags as string[] | null) ?? [])
      .filter((name) => name !== '<none>:<none>')
      .map((name) => {
        const repository = name.slice(0, name.lastIndexOf(':'))
        const ofName = RepoDigests?.filter((entry) => entry.startsWith(`${repository}@`))
        const namedDigests = digestsOf(ofName)
        return {
          name,
          id: Id,
          digest: namedDigests[0],
          namedDigests,
          digests: [...digestsOf(RepoDigests), Id],
          sizeBytes: Size,
        }
      }),
  )
}

export async function importImage(docker: Docker, tar: Buffer, ref: ImageRef): Promise<void> {
  const stream = (await docker.importImage(Readable.from([tar]), {
    repo: ref.familiar,
    ...(ref.tag === undefined ? {} : { tag: ref.tag }),
  })) as Readable
  await followProgress(stream, () => undefined)
}

export async function removeImage(docker: Docker, ref: ImageRef): Promise<void> {
  try {
    await docker.getImage(pullName(ref)).remove()
  } catch (thrown) {
    if (!isNotFound(thrown)) throw thrown
  }
}
