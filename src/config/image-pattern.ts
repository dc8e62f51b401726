// One entry of [images] allow, in its parts and on canonical names: what policy compares an image with.
// In an entry `*` stands for any characters and `?` for one; neither ever crosses from one part into the next
// (registry / path : tag), so "*.example.org/*" does not let "evil.net/x.example.org/y" in.

export interface ImagePattern {
  /** Glob of the registry: "docker.io", "*.example.org", "localhost:5000"; "*" where the entry is "*" or begins with it and a slash. */
  readonly domain: string
  /** Glob of the repository in it: "library/busybox", "atlas/*"; here `*` crosses slashes. */
  readonly path: string
  /** Glob of the tag; undefined: any tag, and any digest. */
  readonly tag: string | undefined
  /** "sha256:…": only an image that resolves to it. */
  readonly digest: string | undefined
}

const DOMAIN = '[A-Za-z0-9.*?\\[\\]:-]+/'
const PATH = '[a-z0-9._*?-]+(?:/[a-z0-9._*?-]+)*'
const TAG = ':[A-Za-z0-9_.*?-]{1,128}'
const DIGEST = '@sha256:[0-9a-f]{64}'

export const IMAGE_PATTERN_PATTERN = `^(${DOMAIN})?(${PATH})(?:(${TAG})|(${DIGEST}))?$`

const PARSER = new RegExp(IMAGE_PATTERN_PATTERN)

/** The entry on canonical names ("busybox" is docker.io/library/busybox); undefined where it is malformed. */
export function parseImagePattern(text: string): ImagePattern | undefined {
  const [, head, rest, tag, digest] = PARSER.exec(text) ?? []
  if (rest === undefined) return undefined
  return { ...canonical(head?.slice(0, -1), rest), tag: tag?.slice(1), digest: digest?.slice(1) }
}

// Docker's rule: the first component is a registry if it has a dot, a colon or a capital, or is "localhost".
function canonical(head: string | undefined, rest: string): { domain: string; path: string } {
  if (head === undefined) return rest === '*' ? { domain: '*', path: '*' } : onDockerHub(rest)
  const domain = canonicalRegistry(head)
  if (domain === 'docker.io') return onDockerHub(rest)
  if (head === '*' || head === 'localhost' || /[.:A-Z]/.test(head)) return { domain, path: rest }
  return onDockerHub(`${head}/${rest}`)
}

const DOCKER_HUB = [
  'docker.io',
  'index.docker.io',
  'registry-1.docker.io',
  'registry.hub.docker.com',
]

/** One name for one registry, as far as its name tells: DNS knows no case, and 443 is the port of https. */
export function canonicalRegistry(host: string): string {
  const lower = host.toLowerCase()
  const name = lower.includes('.') ? lower.replace(/:443$/, '') : lower
  return DOCKER_HUB.includes(name) ? 'docker.io' : name
}

const onDockerHub = (path: string) => ({
  domain: 'docker.io',
  path: path.includes('/') || path === '*' ? path : `library/${path}`,
})
