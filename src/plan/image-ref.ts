// Image names: the distribution reference grammar, and docker's short forms ("busybox" is docker.io/library/busybox:latest).
// Ids are not names: what was allowed by name must be looked up by name.
import { HepwrapError, quote } from '../base/errors.js'
import { canonicalRegistry } from '../config/image-pattern.js'

export interface ImageRef {
  /** Canonical repository: "docker.io/library/busybox". */
  readonly name: string
  /** As docker shows it: "busybox". */
  readonly familiar: string
  /** "latest" where neither a tag nor a digest was written. */
  readonly tag: string | undefined
  /** "sha256:…"; where both are written, the digest decides and the tag says nothing. */
  readonly digest: string | undefined
  readonly text: string
}

const DOMAIN_WORD = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])'
const DOMAIN = new RegExp(
  `^(?:${DOMAIN_WORD}(?:\\.${DOMAIN_WORD})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]{1,5})?$`,
)
const PATH_WORD = '[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*'
const PATH = new RegExp(`^${PATH_WORD}(?:/${PATH_WORD})*$`)
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/
const DIGEST = /^sha256:[0-9a-f]{64}$/
const ID = /^(?:sha256:)?[0-9a-f]{64}$/
const MAX_NAME = 255

/** Parses an image as a user or the site writes it; throws HW_IMAGE_INVALID for anything else. */
export function parseImageRef(text: string): ImageRef {
  // The longest name, tag and digest there can be; nothing longer is worth a regular expression.
  if (text.length > MAX_NAME + 1 + 128 + 1 + 71)
    throw invalid(text, 'is too long for an image name')
  if (ID.test(text)) throw invalid(text, 'is an image id, not an image name')
  const { name: written, tag, digest } = splitParts(text)
  const name = canonicalName(written, text)
  if (digest !== undefined && !DIGEST.test(digest))
    throw invalid(text, 'has a malformed digest: "@sha256:" and 64 lower-case hex digits are meant')
  if (tag !== undefined && !TAG.test(tag)) throw invalid(text, 'has a malformed tag')
  const effectiveTag = tag ?? (digest === undefined ? 'latest' : undefined)
  return { name, familiar: familiarName(name), tag: effectiveTag, digest, text }
}

/** What the engine is asked for, by pull as by lookup: never ambiguous with an image id, unlike a short name. */
export function pullName(ref: ImageRef): string {
  return ref.digest === undefined
    ? `${ref.name}:${ref.tag ?? 'latest'}`
    : `${ref.name}@${ref.digest}`
}

interface Parts {
  readonly name: string
  readonly tag: string | undefined
  readonly digest: string | undefined
}

function splitParts(text: string): Parts {
  const at = text.indexOf('@')
  const digest = at < 0 ? undefined : text.slice(at + 1)
  const tagged = at < 0 ? text : text.slice(0, at)
  const colon = tagged.lastIndexOf(':')
  // A colon before the last slash belongs to the registry's port.
  if (colon <= tagged.lastIndexOf('/')) return { name: tagged, tag: undefined, digest }
  return { name: tagged.slice(0, colon), tag: tagged.slice(colon + 1), digest }
}

function canonicalName(written: string, text: string): string {
  const { domain, path } = splitDomain(written)
  // In capitals alone it was a registry; in small letters it would be a user of Docker Hub's.
  if (domain !== 'localhost' && !/[.:]/.test(domain))
    throw invalid(text, 'has a registry without a dot or a port')
  const name = `${domain}/${path}`
  if (!DOMAIN.test(domain)) throw invalid(text, 'has a malformed registry')
  if (!PATH.test(path)) {
    if (PATH.test(path.toLowerCase())) throw invalid(text, 'must be in lower case')
    throw invalid(text, 'is not an image name')
  }
  if (name.length > MAX_NAME) throw invalid(text, 'is too long for an image name')
  return name
}

// Docker's rule: the first component is a registry if it has a dot, a colon or a capital, or is "localhost".
function splitDomain(name: string): { domain: string; path: string } {
  const slash = name.indexOf('/')
  const head = name.slice(0, Math.max(slash, 0))
  const isDomain = head === 'localhost' || /[.:A-Z]/.test(head)
  const domain = isDomain ? canonicalRegistry(head) : 'docker.io'
  const path = isDomain ? name.slice(slash + 1) : name
  return { domain, path: domain === 'docker.io' && !path.includes('/') ? `library/${path}` : path }
}

// The shortest form that reads as the same name: "docker.io/a.b/c" must not become "a.b/c", which has another registry.
export function familiarName(name: string): string {
  const forms = ['docker.io/library/', 'docker.io/']
    .filter((prefix) => name.startsWith(prefix))
    .map((prefix) => name.slice(prefix.length))
  return forms.find((form) => !ID.test(form) && isSameName(form, name)) ?? name
}

function isSameName(form: string, name: string): boolean {
  const { domain, path } = splitDomain(form)
  return `${domain}/${path}` === name
}

const invalid = (text: string, what: string) =>
  new HepwrapError('HW_IMAGE_INVALID', `image ${quote(text)} ${what}`)
