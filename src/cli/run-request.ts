// The request of a run: the command line, the environment, and the mounts' sources opened here, as the user.
import { constants, openSync, statSync } from 'node:fs'
import { HepwrapError } from '../base/errors.js'
import type { MountRequest, RunRequest } from '../wire/run-api.js'
import type { MountWish } from './mount-options.js'
import type { RunLine } from './run-options.js'

type Environment = Readonly<Record<string, string | undefined>>

/** Opens descriptors and leaves them open: the daemon takes them from /proc/PID/fd while we live. */
export function buildRequest(
  line: RunLine,
  environment: Environment,
  terminal: RunRequest['terminal'],
): RunRequest {
  const cwd = logicalCwd(environment['PWD'], line.mountCwd)
  const home = environment['HOME']
  const shell = environment['SHELL']
  const hasHome = home?.startsWith('/') === true
  return {
    ...line.request,
    host_env: definedOnly(environment),
    mounts: [...defaultMounts(line, hasHome ? home : '/', cwd), ...line.wishes.map(openWish)],
    cwd,
    ...(hasHome && { home }),
    ...(shell?.startsWith('/') === true && { shell }),
    ...(terminal !== undefined && { terminal }),
  }
}

/** HOME and the working directory at their own paths, unless the user mounts something else there. */
function defaultMounts(line: RunLine, home: string, cwd: string): MountRequest[] {
  const taken = new Set(['/', ...line.wishes.map(({ target }) => target)])
  const mounts: MountRequest[] = []
  if (line.mountHome && !taken.has(home)) {
    mounts.push({ ...openSource(home, home), target: home, read_only: false, origin: 'home' })
    taken.add(home)
  }
  if (line.mountCwd && !taken.has(cwd)) {
    // Opened as ".", which is where we are, whatever the path means by now.
    mounts.push({ ...openSource('.', cwd), target: cwd, read_only: false, origin: 'cwd' })
  }
  return mounts
}

const openWish = ({ source, target, readOnly }: MountWish): MountRequest => ({
  ...openSource(source, source),
  target,
  read_only: readOnly,
  origin: 'user',
})

type OpenedSource = Pick<MountRequest, 'source' | 'fd' | 'error'>

function openSource(path: string, shown: string): OpenedSource {
  const source = shown.slice(0, 4096)
  try {
    return { source, fd: openPath(path) }
  } catch (error) {
    return { source, error: (error as NodeJS.ErrnoException).code ?? 'EIO' }
  }
}

// The same on every processor that Linux and Node share; Node does not name it.
const O_PATH = 0o10000000

/** Follows symlinks. "/." makes autofs mount what O_PATH alone would leave an empty directory (open(2)). */
function openPath(path: string): number {
  try {
    return openSync(`${path}/.`, O_PATH | constants.O_DIRECTORY)
  } catch {
    return openSync(path, O_PATH) // a file, a directory that may not be entered, or the true error
  }
}

/** $PWD where it names the directory we are in, as POSIX pwd has it; else the kernel's path. */
function logicalCwd(pwd: string | undefined, needed: boolean): string {
  if (pwd !== undefined && /^\//.test(pwd) && !/\/\.{1,2}(\/|$)/.test(pwd) && isHere(pwd))
    return pwd
  try {
    return process.cwd()
  } catch (error) {
    if (!needed) return '/'
    const code = (error as NodeJS.ErrnoException).code ?? String(error)
    throw new HepwrapError(
      'HW_MOUNT_SOURCE',
      `the working directory has no path (${code}); was it deleted? Go elsewhere or give --no-cwd`,
    )
  }
}

function isHere(path: string): boolean {
  try {
    const [a, b] = [statSync(path, { bigint: true }), statSync('.', { bigint: true })]
    return a.dev === b.dev && a.ino === b.ino
  } catch {
    return false
  }
}

function definedOnly(environment: Environment): Record<string, string> {
  const defined: Record<string, string> = {}
  for (const [name, value] of Object.entries(environment)) {
    if (value !== undefined) defined[name] = value
  }
  return defined
}
