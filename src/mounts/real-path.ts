// Names as the kernel would give them, of what may not exist.
import { realpathSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { hasCode } from '../kernel/libc.js'
import type { Law, RuledPath } from './judge.js'

export const realLaw = ({ denied, allowed, readOnly, decidedBy }: Law): Law => {
  const real = (entries: readonly RuledPath[]) =>
    entries.map((entry) => ({ ...entry, path: realPath(entry.path) }))
  return { denied: real(denied), allowed: real(allowed), readOnly: real(readOnly), decidedBy }
}

/** The name that the kernel would give a path, as far as it exists. */
export function realPath(path: string): string {
  try {
    return realpathSync.native(path)
  } catch (error) {
    if (!hasCode(error, 'ENOENT', 'ENOTDIR') || path === '/') throw error
    return join(realPath(dirname(path)), basename(path))
  }
}
