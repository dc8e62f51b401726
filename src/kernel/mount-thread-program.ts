// The program of the mount thread. Every call is made and undone without a pause, so that nothing else ever runs while the
// thread is in a container's namespace; where it cannot come back it ends.
import { openSync } from 'node:fs'
import { parentPort } from 'node:worker_threads'
import koffi from 'koffi'
import { libc } from './libc.js'
import { AT_RECURSIVE, MOUNT_ATTR_NODEV, mountSetattr } from './mount-setattr.js'
import type { Answer, Task } from './mount-thread.js'

const CLONE_FS = 0x200
const CLONE_NEWNS = 0x20000
const AT_SYMLINK_NOFOLLOW = 0x100
const AT_NO_AUTOMOUNT = 0x800

const unshare = libc.func('int unshare(int flags)')
const setns = libc.func('int setns(int fd, int type)')

type Failure = Answer['failed']

const outcome = (syscall: string, subject: string, isDone: boolean): Failure =>
  isDone ? undefined : { syscall, errno: koffi.errno(), subject }

const ALWAYS = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT

function changeAll(kept: readonly string[]): Failure {
  const areSet = mountSetattr('/', ALWAYS | AT_RECURSIVE, MOUNT_ATTR_NODEV)
  const failure = outcome('mount_setattr', '"/"', areSet)
  if (failure !== undefined) return failure
  for (const path of kept) {
    const isCleared = mountSetattr(path, ALWAYS, 0n, MOUNT_ATTR_NODEV)
    const failed = outcome('mount_setattr', JSON.stringify(path), isCleared)
    if (failed !== undefined) return failed
  }
  return undefined
}

const enter = (namespaceFd: number): boolean => Number(setns(namespaceFd, CLONE_NEWNS)) === 0

const home = openSync('/proc/thread-self/ns/mnt', 'r')

function work({ namespaceFd, kept }: Task): Failure {
  const alone = outcome('unshare', 'CLONE_FS', Number(unshare(CLONE_FS)) === 0)
  if (alone !== undefined) return alone
  const entered = outcome('setns', 'a container', enter(namespaceFd))
  if (entered !== undefined) return entered
  const failure = changeAll(kept)
  if (!enter(home)) process.exit(1)
  return failure
}

parentPort?.on('message', (task: Task) => {
  const failed = work(task)
  const answer: Answer = { id: task.id, ...(failed !== undefined && { failed }) }
  parentPort?.postMessage(answer)
})
