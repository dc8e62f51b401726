// One image for however many tasks: one pull, each waiter free to leave, and no one hurt by another's leaving.
import { describe, expect, it } from 'vitest'
import { HepwrapError } from '../../../src/base/errors.js'
import type { ImageFacts, PullProgress } from '../../../src/engine/engine.js'
import { parseImageRef } from '../../../src/plan/image-ref.js'
import { createImageStore, type ImageWish } from '../../../src/run/image-store.js'
import { fakeEngine, someImage, turn } from './fakes.js'

const busybox = parseImageRef('busybox:1')

/** An engine whose pulls are finished by the test; a finished pull makes the image present. */
function pullingEngine() {
  let present: ImageFacts | undefined
  const pulls: {
    signal: AbortSignal
    progress: (progress: PullProgress) => void
    succeed: () => void
    fail: (error: Error) => void
  }[] = []
  const engine = fakeEngine({
    findImage: async () => {
      await turn()
      return present
    },
    pullImage: (_ref, progress, signal) =>
      new Promise<void>((resolve, reject) => {
        signal.addEventListener('abort', () => setImmediate(() => reject(new Error('aborted'))))
        pulls.push({
          signal,
          progress,
          succeed: () => {
            present = someImage()
            resolve()
          },
          fail: reject,
        })
      }),
  })
  return { store: createImageStore(engine), pulls, load: () => (present = someImage()) }
}

const wish = (fields: Partial<ImageWish> = {}): ImageWish => ({
  ref: busybox,
  pull: 'missing',
  onProgress: () => undefined,
  signal: new AbortController().signal,
  ...fields,
})

/** Lets every waiter that began get to its pull. */
const settle = async () => {
  for (let turns = 0; turns < 5; turns++) await turn()
}

describe('an image', () => {
  it('that is there is not pulled', async () => {
    const { store, pulls, load } = pullingEngine()
    load()
    for (const pull of ['missing', 'never'] as const)
      expect(await store.ensure(wish({ pull }))).toEqual({ image: someImage(), isPulled: false })
    expect(pulls).toHaveLength(0)
  })

  it('that is absent and may not be pulled is refused', async () => {
    const { store, pulls } = pullingEngine()
    await expect(store.ensure(wish({ pull: 'never' }))).rejects.toMatchObject({
      code: 'HW_IMAGE_ABSENT',
    })
    expect(pulls).toHaveLength(0)
  })

  it('is pulled although it is there, where that was asked', async () => {
    const { store, pulls, load } = pullingEngine()
    load()
    const ready = store.ensure(wish({ pull: 'always' }))
    await settle()
    pulls[0]?.succeed()
    expect((await ready).isPulled).toBe(true)
  })

  it('that vanishes after its pull is refused', async () => {
    const engine = fakeEngine({
      findImage: () => Promise.resolve(undefined),
      pullImage: () => Promise.resolve(),
    })
    await expect(createImageStore(engine).ensure(wish())).rejects.toMatchObject({
      code: 'HW_IMAGE_NOT_FOUND',
    })
  })
})

describe('many that want one absent image', () => {
  it('cause one pull', async () => {
    const { store, pulls } = pullingEngine()
    const all = Array.from({ length: 50 }, () => store.ensure(wish()))
    await settle()
    expect(pulls).toHaveLength(1)
    pulls[0]?.succeed()
    for (const ready of await Promise.all(all)) expect(ready.isPulled).toBe(true)
  })

  it('share it whatever they call the image, and not with another image', async () => {
    const { store, pulls } = pullingEngine()
    const names = ['busybox:1', 'docker.io/busybox:1', 'docker.io/library/busybox:1']
    const same = names.map((name) => store.ensure(wish({ ref: parseImageRef(name) })))
    const other = store.ensure(wish({ ref: parseImageRef('busybox:2') }))
    await settle()
    expect(pulls).toHaveLength(2)
    for (const pull of pulls) pull.succeed()
    await Promise.all([...same, other])
  })

  it('all hear of its progress, also where they pass one listener', async () => {
    const { store, pulls } = pullingEngine()
    const heard: PullProgress[] = []
    const onProgress = (progress: PullProgress) => void heard.push(progress)
    const all = [store.ensure(wish({ onProgress })), store.ensure(wish({ onProgress }))]
    await settle()
    pulls[0]?.progress({ status: 'Downloading', current: 1, total: 2 })
    expect(heard).toHaveLength(2)
    pulls[0]?.succeed()
    await Promise.all(all)
    pulls[0]?.progress({ status: 'too late' })
    expect(heard).toHaveLength(2)
  })

  it('share its failure, and the next tries anew', async () => {
    const { store, pulls } = pullingEngine()
    const failed = Array.from({ length: 3 }, () => store.ensure(wish()))
    await settle()
    pulls[0]?.fail(new HepwrapError('HW_REGISTRY_DOWN', 'no answer'))
    for (const one of failed) await expect(one).rejects.toMatchObject({ code: 'HW_REGISTRY_DOWN' })
    const again = store.ensure(wish())
    await settle()
    expect(pulls).toHaveLength(2)
    pulls[1]?.succeed()
    expect((await again).isPulled).toBe(true)
  })
})

describe('a waiter that leaves', () => {
  const leaver = (fields: Partial<ImageWish> = {}) => {
    const abort = new AbortController()
    const leave = () => abort.abort(new HepwrapError('HW_CLIENT_GONE', 'the client is gone'))
    return { wish: wish({ ...fields, signal: abort.signal }), leave }
  }

  it('leaves at once, and the others go on', async () => {
    const { store, pulls } = pullingEngine()
    const onProgress = () => undefined
    const { wish: leaving, leave } = leaver({ onProgress })
    const gone = store.ensure(leaving)
    const stays = store.ensure(wish({ onProgress }))
    await settle()
    leave()
    await expect(gone).rejects.toMatchObject({ code: 'HW_CLIENT_GONE' })
    expect(pulls[0]?.signal.aborted).toBe(false)
    pulls[0]?.succeed()
    expect((await stays).isPulled).toBe(true)
  })

  it('as the last ends the pull', async () => {
    const { store, pulls } = pullingEngine()
    const [a, b] = [leaver(), leaver()]
    const both = [store.ensure(a.wish), store.ensure(b.wish)]
    await settle()
    a.leave()
    expect(pulls[0]?.signal.aborted).toBe(false)
    b.leave()
    for (const one of both) await expect(one).rejects.toMatchObject({ code: 'HW_CLIENT_GONE' })
    expect(pulls[0]?.signal.aborted).toBe(true)
  })

  it('does not spoil the pull of one who comes as it is being ended', async () => {
    const { store, pulls } = pullingEngine()
    const { wish: leaving, leave } = leaver({ pull: 'always' })
    const gone = store.ensure(leaving)
    leave()
    await expect(gone).rejects.toMatchObject({ code: 'HW_CLIENT_GONE' })
    const later = store.ensure(wish({ pull: 'always' })) // before the engine has noticed that the first pull is over
    await settle()
    expect(pulls).toHaveLength(2)
    const third = store.ensure(wish({ pull: 'always' })) // the end of the first has not hidden the second
    await settle()
    expect(pulls).toHaveLength(2)
    pulls[1]?.succeed()
    for (const one of [later, third]) expect((await one).isPulled).toBe(true)
  })

  it('need not wait for an engine that does not answer', async () => {
    const { wish: leaving, leave } = leaver()
    const never = new Promise<undefined>(() => undefined)
    const gone = createImageStore(fakeEngine({ findImage: () => never })).ensure(leaving)
    await settle()
    leave()
    await expect(gone).rejects.toMatchObject({ code: 'HW_CLIENT_GONE' })
  })

  it('before it came pulls nothing for longer than a moment', async () => {
    const { store, pulls } = pullingEngine()
    const { wish: leaving, leave } = leaver()
    leave()
    await expect(store.ensure(leaving)).rejects.toMatchObject({ code: 'HW_CLIENT_GONE' })
    await settle()
    expect(pulls.every(({ signal }) => signal.aborted)).toBe(true)
  })
})
