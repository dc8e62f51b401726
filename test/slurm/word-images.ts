// Images that say a word, /word, in the registry of the world, and what the engine keeps of them taken away.
import { pushImage } from '../world/engine.js'
import { as, expectSuccess } from '../world/world.js'

export const REGISTRY = '127.0.0.1:5000'
export const REPOSITORY = `${REGISTRY}/atlas/box`

/** Builds an image whose /word is this and pushes it, by another name of the registry, so that the engine's own stays
 * as it is; its digest. */
export async function push(image: string, word: string): Promise<string> {
  const name = `words-${word}`
  const alias = image.replace('127.0.0.1', 'localhost')
  await docker('create', '--name', name, 'busybox:test', 'true')
  try {
    await as('root').run([
      'sh',
      '-c',
      `echo ${word} >/tmp/word && docker cp /tmp/word ${name}:/word`,
    ])
    await docker('commit', name, alias)
  } finally {
    await docker('rm', name)
  }
  const digest = await pushImage(alias)
  await docker('rmi', alias)
  return digest
}

export async function docker(...args: string[]): Promise<string> {
  return expectSuccess(await as('root').run(['docker', ...args])).stdout
}

/** Whatever has a name of the registry's loses it. */
export async function removeImages(): Promise<void> {
  const format = '{{.Repository}} {{.Tag}} {{.Digest}}'
  const listed = await docker('images', '--digests', '--format', format)
  const lines = listed.split('\n').filter((line) => line.startsWith(REGISTRY))
  const names = lines.map((line) => {
    const [repository, tag, digest] = line.split(' ')
    return tag === '<none>' ? `${repository!}@${digest!}` : `${repository!}:${tag!}`
  })
  for (const name of new Set(names)) await as('root').run(['docker', 'rmi', name])
}
