// Where in a container nothing may be mounted, neither by the site nor by a user: what the engine and hepwrap put there themselves.

const OWN_TREES = ['/proc', '/sys', '/dev']
// The init and the gate, whatever the run calls their directory.
const HEPWRAPS = /^\/\.hepwrap/
// A mount above one of these would hide it.
const OWN_FILES = ['/etc/passwd', '/etc/group']

/** Why nothing may be mounted at this normalised absolute path; undefined: it may. */
export function reservedTarget(path: string): string | undefined {
  if (path === '/') return '/ is the image itself'
  const tree = OWN_TREES.find((top) => isAtOrBelow(path, top))
  if (tree !== undefined) return `${tree} is not the image's`
  if (HEPWRAPS.test(path)) return "names that begin with /.hepwrap are hepwrap's own"
  const file = OWN_FILES.find((own) => isAtOrBelow(path, own) || isAtOrBelow(own, path))
  return file === undefined ? undefined : `${file} is written by hepwrap`
}

/** Reports whether `path` is `top` or lies below it; both absolute and normalised. */
export const isAtOrBelow = (path: string, top: string): boolean =>
  top === '/' || path === top || path.startsWith(`${top}/`)
