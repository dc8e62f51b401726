// Making a set of directories so that either all of them are left, or none.
import { mkdirSync } from 'node:fs'
import { HepwrapError, quote } from '../base/errors.js'
import { removeEmpty } from './files.js'

/** mkdir, then `prepare`, of each in turn; what was made is removed again if any of it fails. EEXIST fails. */
export function makeDirectories<T extends { readonly path: string }>(
  directories: readonly T[],
  prepare: (directory: T) => void,
): void {
  const made: string[] = []
  for (const directory of directories) {
    try {
      mkdirSync(directory.path, { mode: 0o755 })
      made.push(directory.path)
      prepare(directory)
    } catch (error) {
      for (const path of made.reverse()) removeQuietly(path)
      if (error instanceof HepwrapError) throw error
      throw new HepwrapError('HW_CGROUP_FAILED', `cannot make ${quote(directory.path)}`, {
        cause: error,
      })
    }
  }
}

/** The first failure is the one to tell. */
function removeQuietly(path: string): void {
  try {
    removeEmpty(path)
  } catch {
    return
  }
}
