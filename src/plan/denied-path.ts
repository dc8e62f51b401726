// Paths that may not be mounted, asked twice by the same words: policy asks of what the user wrote, mounts/staging of what it
// really names.
import { isAtOrBelow } from '../config/reserved-target.js'

/** The entry that denies this normalised absolute path: at it, below it, or above it, which would show it inside. */
export const deniedBy = (path: string, denied: readonly string[]): string | undefined =>
  denied.find((entry) => isAtOrBelow(path, entry) || isAtOrBelow(entry, path))
