// Files with tokens: nobody but root and the program's own user may have written them, and others must not read them.
import { readGuardedFile } from '../config/guarded-file.js'

/** A token itself: for its owner's eyes alone. */
export const readSecretFile = (path: string): string => read(path, 0o077)

/** Digests of tokens: a group may read them (a file of root, the group of the aggregator), others not. */
export const readGroupSecret = (path: string): string => read(path, 0o027)

const read = (path: string, forbiddenMode: number): string =>
  readGuardedFile(path, {
    ownerUid: 0,
    orOwnerUid: process.getuid?.() ?? 0,
    below: '/',
    forbiddenMode,
  })
