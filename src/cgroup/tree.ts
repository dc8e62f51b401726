// The directories of a cgroup tree. A cgroup file system has no symbolic links and no files but the kernel's own.
import { readdirSync } from 'node:fs'
import { hasCode } from '../base/has-code.js'

/** A directory and all below it, deepest first; empty if it is gone. */
export function descendants(directory: string): readonly string[] {
  const names = childrenOf(directory)
  if (names === undefined) return []
  return [...names.flatMap((name) => descendants(`${directory}/${name}`)), directory]
}

/** Names of the child cgroups; undefined if the directory is gone or too deep to be named. */
export function childrenOf(directory: string): readonly string[] | undefined {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name)
  } catch (error) {
    // ENAMETOOLONG: made by steps of relative paths; nothing that we name lies there
    if (hasCode(error, 'ENOENT', 'ENODEV', 'ENOTDIR', 'ENAMETOOLONG')) return undefined
    throw error
  }
}
