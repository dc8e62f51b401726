// The container's environment beside the image's own: what passes of the caller's, then what he set by -e.
import { HepwrapError, quote } from '../base/errors.js'
import { matchesGlob } from '../base/glob.js'
import { valuesOf, type List, type SitePolicy } from '../rules/site-policy.js'
import type { RunRequest } from '../wire/run-api.js'

/** What execve(2) takes as one string, with its closing NUL (MAX_ARG_STRLEN). */
export const MAX_STRING_BYTES = 128 * 1024
/** Half of what execve takes in all under the usual stack limit; the image's part is on top. */
export const MAX_TOTAL_BYTES = 1024 * 1024

/** Whether the user may set by -e what he sets is policy's question. */
export function planEnvironment(
  request: Pick<RunRequest, 'env' | 'host_env' | 'all_host_env'>,
  site: SitePolicy,
): Readonly<Record<string, string>> {
  const names = (list: List) => {
    const patterns = valuesOf(list)
    return (name: string) => patterns.some((pattern) => matchesGlob(name, pattern))
  }
  const isPassed = request.all_host_env ? () => true : names(site['environment.pass'])
  const isKept = [names(site['environment.never']), names(site['environment.refuse'])]
  const host = Object.entries(request.host_env).filter(
    ([name]) => isPassed(name) && !isKept.some((keeps) => keeps(name)),
  )
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
