// [images] allow against image names, both in canonical form. An empty list allows nothing.
import { parseImagePattern, type ImagePattern } from '../config/image-pattern.js'
import type { DaemonConfig } from '../config/schema.js'
import type { ImageRef } from '../plan/image-ref.js'
import { matchesGlob } from './glob.js'

/**
 * Reports whether the site allows this image, resolved to this digest (undefined: a local image, which has none).
 * An entry with a digest allows only that content, so a tag that has moved away from it is refused.
 */
export const isAllowedImage = (
  ref: ImageRef,
  digest: string | undefined,
  config: DaemonConfig,
): boolean =>
  patternsOf(config).some(
    (pattern) =>
      matchesName(ref, pattern) &&
      (pattern.digest === undefined ? matchesTag(ref, pattern) : pattern.digest === digest),
  )

/** Reports whether some digest could make the image allowed: asked before it is pulled. */
export const mayBeAllowedImage = (ref: ImageRef, config: DaemonConfig): boolean =>
  patternsOf(config).some(
    (pattern) =>
      matchesName(ref, pattern) &&
      matchesTag(ref, pattern) &&
      (pattern.digest === undefined || ref.digest === undefined || pattern.digest === ref.digest),
  )

const patternsOf = ({ images }: DaemonConfig): readonly ImagePattern[] =>
  images.allow.flatMap((entry) => parseImagePattern(entry) ?? [])

// Registry and repository apart, so that no star reaches from one into the other.
function matchesName({ name }: ImageRef, { domain, path }: ImagePattern): boolean {
  const slash = name.indexOf('/')
  return matchesGlob(name.slice(0, slash), domain) && matchesGlob(name.slice(slash + 1), path)
}

/** Where a digest is written, the tag beside it says nothing about the content: only an entry without a tag allows it. */
function matchesTag({ tag, digest }: ImageRef, pattern: ImagePattern): boolean {
  if (pattern.tag === undefined) return true
  return digest === undefined && tag !== undefined && matchesGlob(tag, pattern.tag)
}
