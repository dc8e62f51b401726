// The mounts of this process's namespace, or of another's: /proc/PID/mountinfo, proc_pid_mountinfo(5).
import { readFileSync } from 'node:fs'

export interface MountEntry {
  readonly id: number
  readonly parentId: number
  /** "major:minor" of the file system */
  readonly device: string
  /** The directory of the file system that is mounted here; "/" for all of it. */
  readonly root: string
  readonly mountPoint: string
  readonly shared: boolean
  /** It receives mounts from a peer group (tag "master:N"). */
  readonly slave: boolean
  readonly fsType: string
  readonly source: string
  /** Options of this mount and of its file system, e.g. "rw", "memory", "user_id=1000". */
  readonly options: readonly string[]
  /** No device can be opened through this mount (its own "nodev"). */
  readonly isNoDevices: boolean
}

/** Every mount, in the kernel's order: a later one hides an earlier one at the same place. */
export const readMounts = (procRoot = '/proc'): readonly MountEntry[] =>
  parseMounts(readFileSync(`${procRoot}/self/mountinfo`, 'utf8'))

/** Those of another process's namespace, by the names that it has for them. */
export const readMountsOf = (pid: number, procRoot = '/proc'): readonly MountEntry[] =>
  parseMounts(readFileSync(`${procRoot}/${pid}/mountinfo`, 'utf8'))

/** Lines like "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue". */
export const parseMounts = (text: string): readonly MountEntry[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map(parseLine)

function parseLine(line: string): MountEntry {
  const fields = line.split(' ')
  const dash = fields.indexOf('-', 6)
  const [id, parentId, device, root, mountPoint, mountOptions] = fields
  const [fsType, source, superOptions] = fields.slice(dash + 1)
  if (dash < 0 || mountOptions === undefined || superOptions === undefined) {
    throw new Error(`not a line of mountinfo: ${JSON.stringify(line)}`)
  }
  const tags = fields.slice(6, dash)
  return {
    id: Number(id),
    parentId: Number(parentId),
    device: device ?? '',
    root: unescape(root ?? ''),
    mountPoint: unescape(mountPoint ?? ''),
    shared: tags.some((tag) => tag.startsWith('shared:')),
    slave: tags.some((tag) => tag.startsWith('master:')),
    fsType: fsType ?? '',
    source: unescape(source ?? ''),
    options: [...mountOptions.split(','), ...superOptions.split(',')],
    isNoDevices: mountOptions.split(',').includes('nodev'),
  }
}

/** The kernel writes blank, tab, newline, backslash and # as \ooo, byte by byte; UTF-8 stays as it is. */
const unescape = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)))
