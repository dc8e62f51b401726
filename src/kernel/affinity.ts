// CPU affinity, sched_setaffinity(2): Slurm binds a task to its own CPUs within the step's cpuset by it.
import { hasCode } from '../base/has-code.js'
import { lastError, libc } from './libc.js'

const MASK_BYTES = 1024 // 8192 CPUs, the most that Linux can have (CONFIG_NR_CPUS)

const sched_getaffinity = libc.func(
  'int sched_getaffinity(int pid, size_t bytes, _Out_ uint8_t *mask)',
)
const sched_setaffinity = libc.func(
  'int sched_setaffinity(int pid, size_t bytes, const uint8_t *mask)',
)

/** Gives the process `to` the affinity that `from` has now; false: one of them is gone. */
export function copyAffinity(from: number, to: number): boolean {
  const mask = Buffer.alloc(MASK_BYTES)
  return (
    succeeded('sched_getaffinity', from, Number(sched_getaffinity(from, mask.length, mask))) &&
    succeeded('sched_setaffinity', to, Number(sched_setaffinity(to, mask.length, mask)))
  )
}

function succeeded(name: string, pid: number, result: number): boolean {
  if (result >= 0) return true
  const error = lastError(name, String(pid))
  if (hasCode(error, 'ESRCH')) return false
  throw error
}
