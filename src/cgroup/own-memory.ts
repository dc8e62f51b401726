// The memory that a run's own processes hold now, for a leaf that several runs share.
import { readFile } from 'node:fs/promises'
import { hasCode } from '../base/has-code.js'
import { readControl } from './files.js'

const KIB = 1024

/**
 * Anonymous and shared memory, each page divided by the number of processes that map it (proc_pid_smaps(5), Linux 5.4), so
 * that what forked workers have in common counts once. Without page cache and the kernel's own.
 */
export async function ownMemoryBytes(
  leaf: string,
  own: string,
  procRoot = '/proc',
): Promise<number> {
  const threads = new Set(listed(own, 'cgroup.threads'))
  const processes = listed(leaf, 'cgroup.procs').filter((pid) => threads.has(pid))
  let bytes = 0
  for (const pid of processes) bytes += await proportionalBytes(`${procRoot}/${pid}/smaps_rollup`)
  return bytes
}

const listed = (directory: string, file: string): readonly string[] =>
  (readControl(directory, file) ?? '').split('\n').filter((pid) => pid !== '' && pid !== '0')

async function proportionalBytes(path: string): Promise<number> {
  try {
    const text = await readFile(path, 'utf8')
    return [...text.matchAll(/^Pss_(?:Anon|Shmem): +([0-9]+) kB$/gm)].reduce(
      (bytes, [, kib]) => bytes + Number(kib) * KIB,
      0,
    )
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ESRCH')) return 0 // it has ended
    throw error
  }
}
