// The container's environment beside the image's own: what passes of the caller's, then what he set by -e.
import { HepwrapError, quote } from '../base/errors.js'
import type { RunRequest } from '../wire/run-api.js'

/** What execve(2) takes as one string, with its closing NUL (MAX_ARG_STRLEN). */
export const MAX_STRING_BYTES = 128 * 1024
/** Half of what execve takes in all under the usual stack limit; the image's part is on top. */
export const MAX_TOTAL_BYTES = 1024 * 1024

// CONTRACT.md, "Defaults".
const PASSING = [
  /^(?:SLURM_|PMI|OMPI_|LC_)/,
  /^(?:CUDA_VISIBLE_DEVICES|TERM|LANG|TZ|USER|LOGNAME|HOME|SCRATCH|TMPDIR)$/,
]
// With --host-env: the host's programs and libraries are not the image's.
const NEVER_PASSING = /^(?:PATH$|LD_)/

export function planEnvironment(
  request: Pick<RunRequest, 'env' | 'host_env' | 'all_host_env'>,
): Readonly<Record<string, string>> {
  const passes = request.all_host_env
    ? (name: string) => !NEVER_PASSING.test(name)
    : (name: string) => PASSING.some((pattern) => pattern.test(name))
  const host = Object.entries(request.host_env).filter(([name]) => passes(name))
  const env = new Map([...host, ...Object.entries(request.env)])
  let totalBytes = 0
  for (const [name, value] of env) totalBytes += checkedBytes(name, value)
  if (totalBytes > MAX_TOTAL_BYTES)
    throw tooLarge(`the environment has ${totalBytes} bytes, more than ${MAX_TOTAL_BYTES}`)
  return Object.fromEntries(env)
}

function checkedBytes(name: string, value: string): number {
  if (name === '' || /[=\0]/.test(name))
    throw new HepwrapError('HW_OPTION_INVALID', `${quote(name)} is not a name for the environment`)
  if (value.includes('\0'))
    throw new HepwrapError('HW_OPTION_INVALID', `the value of ${quote(name)} holds a NUL byte`)
  const bytes = Buffer.byteLength(name) + Buffer.byteLength(value) + 2
  if (bytes > MAX_STRING_BYTES)
    throw tooLarge(`${quote(name)} has ${bytes} bytes, more than ${MAX_STRING_BYTES}`)
  return bytes
}

const tooLarge = (what: string) => new HepwrapError('HW_ENV_TOO_LARGE', what)
