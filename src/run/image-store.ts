// One image made ready: found on the node or pulled, once for however many tasks wait for it at the same time.
import { abortable } from '../base/abortable.js'
import { HepwrapError, quote } from '../base/errors.js'
import type { Engine, ImageFacts, PullProgress } from '../engine/engine.js'
import { pullName, type ImageRef } from '../plan/image-ref.js'
import type { PullMode } from '../wire/run-api.js'

export interface ImageWish {
  readonly ref: ImageRef
  readonly pull: PullMode
  readonly onProgress: (progress: PullProgress) => void
  /** Aborted when this waiter no longer cares. */
  readonly signal: AbortSignal
}

export interface ReadyImage {
  readonly image: ImageFacts
  /** False: it was there. */
  readonly isPulled: boolean
}

export interface ImageStore {
  ensure(wish: ImageWish): Promise<ReadyImage>
  /** How many wait for a pull. */
  waiting(): number
}

interface SharedPull {
  readonly finished: Promise<void>
  readonly waiters: Set<ImageWish>
  readonly abort: AbortController
}

export function createImageStore(engine: Engine): ImageStore {
  const pulls = new Map<string, SharedPull>()

  const startPull = (ref: ImageRef): SharedPull => {
    const key = pullName(ref)
    const waiters: SharedPull['waiters'] = new Set()
    const abort = new AbortController()
    const tell = (progress: PullProgress) =>
      waiters.forEach(({ onProgress }) => onProgress(progress))
    const forget = () => {
      if (pulls.get(key) === pull) pulls.delete(key)
    }
    // Forgotten as it is aborted: who comes before the engine has noticed needs a pull of his own.
    abort.signal.addEventListener('abort', forget, { once: true })
    const finished = engine.pullImage(ref, tell, abort.signal).finally(forget)
    finished.catch(() => undefined) // every waiter sees it; there may be none left
    const pull: SharedPull = { finished, waiters, abort }
    pulls.set(key, pull)
    return pull
  }

  const pullTogether = async (wish: ImageWish): Promise<void> => {
    const pull = pulls.get(pullName(wish.ref)) ?? startPull(wish.ref)
    pull.waiters.add(wish)
    try {
      await abortable(pull.finished, wish.signal)
    } finally {
      pull.waiters.delete(wish)
      if (pull.waiters.size === 0) pull.abort.abort()
    }
  }

  return {
    waiting: () => [...pulls.values()].reduce((sum, { waiters }) => sum + waiters.size, 0),
    ensure: async (wish) => {
      const { ref, pull, signal } = wish
      const find = () => abortable(engine.findImage(ref), signal)
      const present = pull === 'always' ? undefined : await find()
      if (present !== undefined) return { image: present, isPulled: false }
      if (pull === 'never')
        throw new HepwrapError('HW_IMAGE_ABSENT', `image ${quote(ref.text)} is not on this node`)
      await pullTogether(wish)
      const pulled = await find()
      if (pulled === undefined)
        throw new HepwrapError(
          'HW_IMAGE_NOT_FOUND',
          `image ${quote(ref.text)} vanished after its pull`,
        )
      return { image: pulled, isPulled: true }
    },
  }
}
