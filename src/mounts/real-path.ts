// Names as the kernel would give them, of what may not exist. Of the site's lists: without waiting for a dead file server, and
// without going where a user says.
import { realpathSync, type Stats } from 'node:fs'
import { lstat, readlink } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { within } from '../base/within.js'
import { hasCode } from '../base/has-code.js'
import type { Law, RuledPath } from './judge.js'

const PATIENCE_MS = 5000
const MAX_LINKS = 40
const WRITABLE_BY_OTHERS = 0o022

/**
 * The law by texts and by what they lead to. A path that cannot be followed (a server that is dead, a link in a directory
 * that is not root's alone) stands as it is written: then it denies itself, and allows nothing but itself.
 */
export async function realLaw({ denied, allowed, readOnly, decidedBy }: Law): Promise<Law> {
  const both = async (entries: readonly RuledPath[]) =>
    (await Promise.all(entries.map(withReal))).flat()
  const [deniedToo, allowedToo, readOnlyToo] = await Promise.all([
    both(denied),
    both(allowed),
    both(readOnly),
  ])
  return { denied: deniedToo, allowed: allowedToo, readOnly: readOnlyToo, decidedBy }
}

async function withReal(entry: RuledPath): Promise<readonly RuledPath[]> {
  const real = await followed(entry.path)
  return real === undefined || real === entry.path ? [entry] : [entry, { ...entry, path: real }]
}

/** Undefined: it cannot be known, or it is not root's word alone. */
async function followed(path: string): Promise<string | undefined> {
  try {
    return await within(PATIENCE_MS, follow(path), () => new Error('no answer'))
  } catch {
    return undefined
  }
}

const asked = new Map<string, Promise<Stats | undefined>>()

/** Undefined: absent. Shared by all that ask at the time: a dead server holds one thread for each path, not one for each run. */
function look(path: string): Promise<Stats | undefined> {
  const known = asked.get(path)
  if (known !== undefined) return known
  const answer = lstat(path)
    .catch((error: unknown) => {
      if (hasCode(error, 'ENOENT', 'ENOTDIR')) return undefined
      throw error
    })
    .finally(() => asked.delete(path))
  asked.set(path, answer)
  return answer
}

/** Component by component: each link must lie in a directory in which root alone can put one. */
async function follow(path: string): Promise<string | undefined> {
  let todo = path.split('/').filter(Boolean)
  let real = '/'
  for (let links = 0; todo.length > 0;) {
    const [part = '', ...rest] = todo
    const at = join(real, part)
    const stats = await look(at)
    if (stats === undefined) return join(at, ...rest)
    if (!stats.isSymbolicLink()) {
      real = at
      todo = rest
      continue
    }
    const holder = await look(real)
    if (++links > MAX_LINKS || holder?.uid !== 0 || (holder.mode & WRITABLE_BY_OTHERS) !== 0)
      return undefined
    todo = [
      ...resolve(real, await readlink(at))
        .split('/')
        .filter(Boolean),
      ...rest,
    ]
    real = '/'
  }
  return real
}

/** The name that the kernel would give a path of ours, as far as it exists. */
export function realPath(path: string): string {
  try {
    return realpathSync.native(path)
  } catch (error) {
    if (!hasCode(error, 'ENOENT', 'ENOTDIR') || path === '/') throw error
    return join(realPath(dirname(path)), basename(path))
  }
}
