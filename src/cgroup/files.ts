// Reading, writing and removing in a cgroup file system, where a file is a question to the kernel.
import { closeSync, constants, openSync, readFileSync, rmdirSync, writeSync } from 'node:fs'
import { hasCode } from '../base/has-code.js'
import { isRunId, OUR_PREFIX } from '../base/ids.js'

/** The text of a control file without its newline; undefined where the kernel or the hierarchy has none. */
export function readControl(directory: string, name: string): string | undefined {
  try {
    return readFileSync(`${directory}/${name}`, 'utf8').trim()
  } catch (error) {
    // ENODEV: the cgroup is being removed; EOPNOTSUPP: a threaded cgroup does not answer this
    if (hasCode(error, 'ENOENT', 'ENODEV', 'EOPNOTSUPP', 'ENOTSUP')) return undefined
    throw error
  }
}

/** One write(2) to a control file. Write-only, for some cannot be read; without O_CREAT, so that none is ever made. */
export function writeControl(directory: string, name: string, value: string | number): void {
  const fd = openSync(`${directory}/${name}`, constants.O_WRONLY | constants.O_NOFOLLOW)
  try {
    writeSync(fd, String(value))
  } finally {
    closeSync(fd)
  }
}

/** A count from a control file; undefined for an absent file and for anything but digits ("max"). */
export const readCount = (directory: string, name: string): number | undefined =>
  parseCount(readControl(directory, name))

/** One value of a file of "key value" lines, like cpu.stat. */
export const readKey = (directory: string, name: string, key: string): number | undefined =>
  keyOf(readControl(directory, name), key)

export function keyOf(text: string | undefined, key: string): number | undefined {
  const line = text?.split('\n').find((candidate) => candidate.startsWith(`${key} `))
  return parseCount(line?.slice(key.length + 1).trim())
}

export function parseCount(text: string | undefined): number | undefined {
  return text !== undefined && /^[0-9]+$/.test(text) ? Number(text) : undefined
}

/** Reports whether the last component of a path is a name that only we give: hepwrap-<run id>. */
export function isOwnDirectory(path: string): boolean {
  const name = path.slice(path.lastIndexOf('/') + 1)
  return name.startsWith(OUR_PREFIX) && isRunId(name.slice(OUR_PREFIX.length))
}

/** rmdir(2); false: it has processes or children still. A directory that is gone already counts as removed. */
export function removeEmpty(directory: string): boolean {
  try {
    rmdirSync(directory)
    return true
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENODEV')) return true
    if (hasCode(error, 'EBUSY', 'ENOTEMPTY', 'ENAMETOOLONG')) return false
    throw error
  }
}
