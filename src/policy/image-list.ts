// [images] allow and deny against image names, both in canonical form. Nothing is allowed that no entry names, and an
// entry of deny outweighs every entry of allow.
import { quote } from '../base/errors.js'
import { matchesGlob } from '../base/glob.js'
import { parseImagePattern, type ImagePattern } from '../config/image-pattern.js'
import type { ImageRef } from '../plan/image-ref.js'
import { originText, type List, type Setting, type SitePolicy } from '../rules/site-policy.js'
import type { Verdict } from './check.js'

/** What an image on the node is, as far as its content can be named. */
export interface ImageIdentity {
  /** "sha256:…" of the manifest under the name that was asked for; undefined: a local image. */
  readonly digest: string | undefined
  /** Every digest that the engine knows this content by, under any name; its id is one. */
  readonly digests: readonly string[]
}

type ImageSite = Pick<SitePolicy, 'images.allow' | 'images.deny'>

/** By its name alone, before it is pulled: an entry with a digest may turn out to be for it. */
export const judgeImageName = (ref: ImageRef, site: ImageSite): Verdict =>
  verdict(
    ref,
    site,
    (pattern) => matchesTag(ref, pattern) && isPossible(ref, pattern),
    (pattern) =>
      pattern.digest === undefined ? matchesAskedTag(ref, pattern) : pattern.digest === ref.digest,
    'is not allowed on this site',
  )

/**
 * By what it has resolved to. An entry with a digest allows only that content, so a tag that has moved away from it is
 * refused; a denial by digest holds for that content under every name that the entry covers.
 */
export const judgeImage = (ref: ImageRef, identity: ImageIdentity, site: ImageSite): Verdict =>
  verdict(
    ref,
    site,
    (pattern) =>
      pattern.digest === undefined ? matchesTag(ref, pattern) : pattern.digest === identity.digest,
    (pattern) =>
      pattern.digest === undefined
        ? matchesAskedTag(ref, pattern)
        : identity.digests.includes(pattern.digest),
    `is not allowed on this site: its digest is ${identity.digest ?? 'unknown'}`,
  )

/** Reports whether an image of the node may be run, for a list of such images. */
export const mayRunImage = (ref: ImageRef, identity: ImageIdentity, site: ImageSite): boolean =>
  judgeImage(ref, identity, site).refusal === undefined

type Fits = (pattern: ImagePattern) => boolean

function verdict(ref: ImageRef, site: ImageSite, allows: Fits, denies: Fits, why: string): Verdict {
  const point = { point: 'image', value: ref.text }
  const refuse = (text: string) =>
    ({ code: 'HW_IMAGE_REFUSED', text: `image ${quote(ref.text)} ${text}` }) as const
  const denial = find(ref, site['images.deny'], denies)
  if (denial !== undefined)
    return {
      ...point,
      decidedBy: originText(denial.by, denial.value),
      refusal: refuse(`is not allowed on this site (images.deny ${quote(denial.value)})`),
    }
  const allowed = find(ref, site['images.allow'], allows)
  if (allowed !== undefined) return { ...point, decidedBy: originText(allowed.by, allowed.value) }
  return {
    ...point,
    decidedBy: originText(site['images.allow'].by),
    refusal: refuse(`${why} (images.allow)`),
  }
}

const find = (ref: ImageRef, { entries }: List, fits: Fits): Setting<string> | undefined =>
  entries.find(({ value }) => {
    const pattern = parseImagePattern(value)
    return pattern !== undefined && matchesName(ref, pattern) && fits(pattern)
  })

// Registry and repository apart, so that no star reaches from one into the other.
function matchesName({ name }: ImageRef, { domain, path }: ImagePattern): boolean {
  const slash = name.indexOf('/')
  return matchesGlob(name.slice(0, slash), domain) && matchesGlob(name.slice(slash + 1), path)
}

const isPossible = (ref: ImageRef, { digest }: ImagePattern): boolean =>
  digest === undefined || ref.digest === undefined || digest === ref.digest

/** Where a digest is written, the tag beside it says nothing about the content: only an entry without a tag allows it. */
const matchesTag = (ref: ImageRef, pattern: ImagePattern): boolean =>
  pattern.tag === undefined || matchesAskedTag(ref, pattern)

const matchesAskedTag = ({ tag, digest }: ImageRef, pattern: ImagePattern): boolean =>
  pattern.tag === undefined ||
  (digest === undefined && tag !== undefined && matchesGlob(tag, pattern.tag))
