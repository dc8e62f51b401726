// The C library as koffi sees it, and errno as an error. The other files of this room declare their calls on it.
import koffi from 'koffi'
import { getSystemErrorName } from 'node:util'

/** Symbols of the libc that Node itself runs on, whatever its name is. */
export const libc = koffi.load(null)

/** A failed system call: `code` is the errno name, as in Node's own errors. */
export interface KernelError extends Error {
  readonly code: string
  readonly syscall: string
}

/** The error of the call just made; `subject` is the value it was made with. Call it before anything else. */
export function lastError(syscall: string, subject: string): KernelError {
  return kernelError(syscall, koffi.errno(), subject)
}

export function kernelError(syscall: string, errno: number, subject: string): KernelError {
  const code = errorName(errno)
  return Object.assign(new Error(`${syscall} ${subject}: ${code}`), { code, syscall })
}

function errorName(errno: number): string {
  try {
    return getSystemErrorName(-errno)
  } catch {
    return `errno ${errno}`
  }
}
