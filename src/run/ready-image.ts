// The image of a run: on the node, and judged once more by what its name has turned out to mean. The container is made from
// the content that was judged, never from the name.
import { HepwrapError, quote } from '../base/errors.js'
import type { ImageFacts } from '../engine/engine.js'
import type { RunPlan } from '../plan/run-plan.js'
import { judgeImage, throwIfRefused, type Verdict } from '../policy/policy.js'
import { originText, valuesOf, type SitePolicy } from '../rules/site-policy.js'
import type { PublicKey } from '../signature/public-key.js'
import type { Admission } from './admit.js'
import type { RunClient, RunDeps } from './run-deps.js'

export async function readyImage(
  { plan, site, live }: Admission,
  client: Pick<RunClient, 'event'>,
  deps: RunDeps,
): Promise<{ image: ImageFacts; isPulled: boolean }> {
  const ready = await deps.images.ensure({
    ref: plan.image,
    pull: plan.pull,
    signal: live.ending,
    onProgress: (progress) => client.event({ kind: 'pull', image: plan.image.text, ...progress }),
  })
  const content: Content = { ref: plan.image, image: ready.image, site, signal: live.ending }
  const { image, verdicts } = await judgeContent(content, deps)
  verdicts.forEach(throwIfRefused)
  return { ...ready, image }
}

export interface Content {
  readonly ref: RunPlan['image']
  readonly image: ImageFacts
  readonly site: SitePolicy
  readonly signal: AbortSignal
}

type Judges = Pick<RunDeps, 'engineFacts' | 'publicKeys' | 'signatures'>

export interface JudgedContent {
  /** By the digest that was judged. */
  readonly image: ImageFacts
  /** Up to the first refusal. */
  readonly verdicts: readonly Verdict[]
}

/**
 * One content may have several digests under one name, an index's and its platform's. That somebody has pulled it by another
 * one than the site names, or a key has signed, must not refuse it to the rest: one digest that may run is enough.
 */
export async function judgeContent(content: Content, deps: Judges): Promise<JudgedContent> {
  const { digest, namedDigests } = content.image
  const first = judgeReading(content, deps)
  if (await mayRun(first)) return first
  for (const other of namedDigests.filter((one) => one !== digest)) {
    const image = { ...content.image, digest: other }
    const reading = judgeReading({ ...content, image }, deps)
    if (await mayRun(reading)) return reading
  }
  return first
}

const mayRun = (judged: Promise<JudgedContent>): Promise<boolean> =>
  judged.then(
    ({ verdicts }) => verdicts.every(({ refusal }) => refusal === undefined),
    () => false, // a registry that is down, for one; told if no other digest will do
  )

async function judgeReading(content: Content, deps: Judges): Promise<JudgedContent> {
  const verdicts: Verdict[] = []
  for await (const verdict of pointsOf(content, deps)) {
    verdicts.push(verdict)
    if (verdict.refusal !== undefined) break
  }
  return { image: content.image, verdicts }
}

/** One after another: a registry is asked only for what may run otherwise. */
async function* pointsOf(content: Content, deps: Judges): AsyncGenerator<Verdict> {
  const { ref, image, site } = content
  yield { ...judgeImage(ref, image, site), point: 'content', value: image.digest ?? image.id }
  yield await judgePlatform(ref.text, image, deps)
  yield* judgeSignature(content, deps)
}

async function judgePlatform(
  text: string,
  image: ImageFacts,
  { engineFacts }: Judges,
): Promise<Verdict> {
  const { platform } = await engineFacts()
  const point = { point: 'platform', value: image.platform, decidedBy: '' }
  if (image.platform === platform) return point
  const message = `image ${quote(text)} is for ${image.platform}; this node is ${platform}`
  return { ...point, refusal: { code: 'HW_IMAGE_PLATFORM', text: message } }
}

async function* judgeSignature(
  { ref, image, site, signal }: Content,
  { publicKeys, signatures }: Judges,
): AsyncGenerator<Verdict> {
  const demanded = site['images.require_signature']
  if (demanded.entries.length === 0) return
  const keys = valuesOf(demanded).map((path) => keyAt(path, publicKeys))
  const point = { point: 'signature', value: ref.text, decidedBy: originText(demanded.by) }
  try {
    const { path, fingerprint } = await signatures.require(ref, image.digest, keys, signal)
    const by = demanded.entries.find(({ value }) => value === path)?.by ?? demanded.by
    yield { ...point, value: `SHA256:${fingerprint}`, decidedBy: originText(by, path) }
  } catch (thrown) {
    if (!(thrown instanceof HepwrapError) || thrown.code !== 'HW_IMAGE_UNSIGNED') throw thrown
    yield { ...point, refusal: { code: thrown.code, text: thrown.message } }
  }
}

/** A key that is not there must not be a key that is not asked for. */
function keyAt(path: string, publicKeys: RunDeps['publicKeys']): PublicKey {
  const key = publicKeys.get(path)
  if (key === undefined)
    throw new HepwrapError('HW_CONFIG_INVALID', `the public key ${quote(path)} has not been read`)
  return key
}
