// Names of users and groups from the C library, so that NSS (LDAP, SSSD) answers as it does everywhere on the node.
// The calls run on worker threads: a directory server that hangs never stops the daemon.
import koffi from 'koffi'
import { systemClock } from '../base/clock.js'
import { kernelError, libc } from './libc.js'

export interface UserAccount {
  readonly name: string
  readonly home: string
  readonly shell: string
}

const KEPT_MS = 60_000
const KEPT_ENTRIES = 1024
const FIRST_BUFFER_BYTES = 4096
const LAST_BUFFER_BYTES = 16 * 1024 * 1024
// getpwuid_r(3): what "no such user" may look like beside 0.
const ABSENT: readonly number[] = ['ENOENT', 'ESRCH', 'EBADF', 'EPERM'].map(
  (name) => koffi.os.errno[name] ?? -1,
)

const Passwd = koffi.struct({
  pw_name: 'str',
  pw_passwd: 'void *',
  pw_uid: 'uint32_t',
  pw_gid: 'uint32_t',
  pw_gecos: 'void *',
  pw_dir: 'str',
  pw_shell: 'str',
})
const Group = koffi.struct({
  gr_name: 'str',
  gr_passwd: 'void *',
  gr_gid: 'uint32_t',
  gr_mem: 'void *',
})
const result = koffi.out(koffi.pointer('void *'))
/** getpwuid_r(3) and its kin: what they are asked by, and what they fill in. */
const reentrant = (name: string, key: 'uint32_t' | 'str', record: typeof Passwd) =>
  libc.func(name, 'int', [key, koffi.out(koffi.pointer(record)), 'uint8_t *', 'size_t', result])
const getpwuid = reentrant('getpwuid_r', 'uint32_t', Passwd)
const getgrgid = reentrant('getgrgid_r', 'uint32_t', Group)
const getpwnam = reentrant('getpwnam_r', 'str', Passwd)

const getgrouplist = libc.func('getgrouplist', 'int', [
  'str',
  'uint32_t',
  koffi.out('uint32_t *'),
  koffi.inout('int *'),
])

type ForeignCall = ReturnType<typeof libc.func>

interface Kept<T> {
  readonly untilMs: number
  readonly answer: Promise<T | undefined>
}
const users = new Map<number, Kept<UserAccount>>()
const groups = new Map<number, Kept<string>>()

/** The account of a uid; undefined: there is none. Answers are kept for a minute; failures are not. */
export const lookupUser = (uid: number): Promise<UserAccount | undefined> =>
  keep(users, uid, async () => {
    const found = await lookup('getpwuid_r', getpwuid, uid)
    if (found === undefined) return undefined
    return {
      name: text(found['pw_name']),
      home: text(found['pw_dir']),
      shell: text(found['pw_shell']),
    }
  })

/** The name of a gid; undefined: there is none. */
export const lookupGroup = (gid: number): Promise<string | undefined> =>
  keep(groups, gid, async () => {
    const found = await lookup('getgrgid_r', getgrgid, gid)
    return found === undefined ? undefined : text(found['gr_name'])
  })

export interface Login {
  readonly uid: number
  readonly gid: number
  /** As login gives them, gid among them (getgrouplist(3)). */
  readonly groups: readonly number[]
}

/** What a user would be after a login, by name; undefined: there is no such user. */
export async function lookupLogin(name: string): Promise<Login | undefined> {
  const found = await lookup('getpwnam_r', getpwnam, name)
  if (found === undefined) return undefined
  const [uid, gid] = [Number(found['pw_uid']), Number(found['pw_gid'])]
  return { uid, gid, groups: await groupsOf(name, gid) }
}

const MAX_GROUPS = 65_536 // NGROUPS_MAX

async function groupsOf(name: string, gid: number): Promise<readonly number[]> {
  for (let size = 64; size <= MAX_GROUPS; size *= 4) {
    const found = new Uint32Array(size)
    const count = [size]
    if ((await onWorker(getgrouplist, [name, gid, found, count])) >= 0)
      return [...found.subarray(0, count[0])]
  }
  throw new Error(`getgrouplist ${name}: more than ${MAX_GROUPS} groups`)
}

function keep<T>(
  cache: Map<number, Kept<T>>,
  id: number,
  ask: () => Promise<T | undefined>,
): Promise<T | undefined> {
  const nowMs = systemClock.monotonicMs()
  const kept = cache.get(id)
  if (kept !== undefined && kept.untilMs > nowMs) return kept.answer
  const entry = { untilMs: nowMs + KEPT_MS, answer: ask() }
  cache.delete(id)
  cache.set(id, entry)
  const oldest = cache.keys().next()
  if (cache.size > KEPT_ENTRIES && oldest.done !== true) cache.delete(oldest.value)
  entry.answer.catch(() => {
    if (cache.get(id) === entry) cache.delete(id)
  })
  return entry.answer
}

/** One record; the buffer grows while the call says ERANGE (groups with thousands of members). */
async function lookup(
  name: string,
  query: ForeignCall,
  id: number | string,
): Promise<Record<string, unknown> | undefined> {
  for (let bytes = FIRST_BUFFER_BYTES; bytes <= LAST_BUFFER_BYTES; bytes *= 4) {
    const record: Record<string, unknown> = {}
    const found: unknown[] = [null]
    const buffer = Buffer.alloc(bytes) // the record's strings lie in it until the callback has copied them
    const errno = await onWorker(query, [id, record, buffer, buffer.length, found])
    if (errno === koffi.os.errno['ERANGE']) continue
    if (errno !== 0 && !ABSENT.includes(errno)) throw kernelError(name, errno, String(id))
    return errno !== 0 || found[0] === null ? undefined : record
  }
  throw new Error(`${name} ${id}: the record is larger than ${LAST_BUFFER_BYTES} bytes`)
}

function onWorker(query: ForeignCall, args: readonly unknown[]): Promise<number> {
  return new Promise((resolve, reject) => {
    query.async(...args, (error: unknown, value: unknown) => {
      if (error instanceof Error) reject(error)
      else resolve(Number(value))
    })
  })
}

const text = (value: unknown): string => (typeof value === 'string' ? value : '')
