// The program of the mount thread. Every call is made and undone without a pause, so that nothing else ever runs while the
// thread is in a container's namespace; where it cannot come back it ends.
import { openSync } from 'node:fs'
import { parentPort } from 'node:worker_threads'
import koffi from 'koffi'
import { libc } from './libc.js'
import type { Answer, Task } from './mount-thread.js'

const CLONE_FS = 0x200
const CLONE_NEWNS = 0x20000
const AT_FDCWD = -100
const AT_SYMLINK_NOFOLLOW = 0x100
const AT_NO_AUTOMOUNT = 0x800
const AT_RECURSIVE = 0x8000
const MOUNT_SETATTR = 442 // Linux 5.12; the same number on every architecture
const MOUNT_ATTR_NODEV = 4n

const unshare = libc.func('int unshare(int flags)')
const setns = libc.func('int setns(int fd, int type)')
const syscall = libc.func(
  'long syscall(long number, long a, const char *b, long c, const void *d, long e)',
)

/** struct mount_attr: attr_set, attr_clr, propagation, userns_fd */
function attributes(set: bigint, clear: bigint): Buffer {
  const buffer = Buffer.alloc(32)
  buffer.writeBigUInt64LE(set)
  buffer.writeBigUInt64LE(clear, 8)
  return buffer
}

const SET = attributes(MOUNT_ATTR_NODEV, 0n)
const CLEAR = attributes(0n, MOUNT_ATTR_NODEV)

type Failure = Answer['failed']

const outcome = (syscallName: string, subject: string, result: unknown): Failure =>
  Number(result) === 0 ? undefined : { syscall: syscallName, errno: koffi.errno(), subject }

function change(path: string, flags: number, attribute: Buffer): Failure {
  const all = flags | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT
  const result = syscall(MOUNT_SETATTR, AT_FDCWD, path, all, attribute, attribute.length) as unknown
  return outcome('mount_setattr', JSON.stringify(path), result)
}

function changeAll(kept: readonly string[]): Failure {
  const failure = change('/', AT_RECURSIVE, SET)
  if (failure !== undefined) return failure
  for (const path of kept) {
    const failed = change(path, 0, CLEAR)
    if (failed !== undefined) return failed
  }
  return undefined
}

const home = openSync('/proc/thread-self/ns/mnt', 'r')

function work({ namespaceFd, kept }: Task): Failure {
  const alone = outcome('unshare', 'CLONE_FS', unshare(CLONE_FS))
  if (alone !== undefined) return alone
  const entered = outcome('setns', 'a container', setns(namespaceFd, CLONE_NEWNS))
  if (entered !== undefined) return entered
  const failure = changeAll(kept)
  if (Number(setns(home, CLONE_NEWNS)) !== 0) process.exit(1)
  return failure
}

parentPort?.on('message', (task: Task) => {
  const failed = work(task)
  const answer: Answer = { id: task.id, ...(failed !== undefined && { failed }) }
  parentPort?.postMessage(answer)
})
