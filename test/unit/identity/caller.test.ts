import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  identifyCaller,
  isCallerAlive,
  releaseCaller,
  type IdentitySeams,
} from '../../../src/identity/caller.js'

interface Fake {
  readonly uids?: string
  readonly gids?: string
  readonly state?: string
  readonly umask?: string
  readonly mnt?: string
  readonly user?: string
}

describe('identifyCaller', () => {
  let root: string
  let open: Set<number>
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'hepwrap-identity-'))
    open = new Set()
    fake('self', {})
  })
  afterEach(() => {
    expect([...open], 'descriptors left open').toEqual([])
    rmSync(root, { recursive: true })
  })

  const fake = (
    pid: string,
    {
      uids = '5\t5\t5\t5',
      gids = '6\t6\t6\t6',
      state = 'S',
      umask = '0077',
      mnt = 'mnt:[1]',
      user = 'user:[1]',
    }: Fake,
  ) => {
    mkdirSync(join(root, pid, 'ns'), { recursive: true })
    const umaskLine = umask === '' ? '' : `Umask:\t${umask}\n`
    writeFileSync(
      join(root, pid, 'status'),
      `Name:\tx\n${umaskLine}State:\t${state} (x)\nUid:\t${uids}\nGid:\t${gids}\nGroups:\t6 7 \n`,
    )
    writeFileSync(join(root, pid, 'stat'), `7 (x) ${state}${' 0'.repeat(18)} 99 0\n`)
    symlinkSync(mnt, join(root, pid, 'ns', 'mnt'))
    symlinkSync(user, join(root, pid, 'ns', 'user'))
  }
  const seams = (more: Partial<IdentitySeams> = {}): IdentitySeams => {
    const hand = (fd: number) => {
      open.add(fd)
      return fd
    }
    return {
      peerCredentials: () => ({ pid: 7, uid: 5, gid: 6 }),
      peerPidfd: () => hand(40),
      openPidfd: () => hand(41),
      isAlive: (fd) => open.has(fd),
      closeFd: (fd) => open.delete(fd),
      procRoot: root,
      ...more,
    }
  }
  const refused = (code: string): unknown => expect.objectContaining({ code })

  it('is the kernel’s word', () => {
    fake('7', {})
    const caller = identifyCaller(3, seams())
    expect(caller).toEqual({
      uid: 5,
      gid: 6,
      groups: [6, 7],
      pid: 7,
      pidfd: 40,
      startTimeTicks: 99,
      umask: 0o077,
    })
    releaseCaller(caller, seams())
  })

  it.each<[string, Fake]>([
    ['a setuid program has been executed', { uids: '5\t0\t0\t0' }],
    ['the saved uid is another', { uids: '5\t5\t0\t5' }],
    ['the file system uid is another', { uids: '5\t5\t5\t0' }],
    ['it has become another user', { uids: '8\t8\t8\t8' }],
    ['its group is another', { gids: '6\t0\t0\t0' }],
    ['it is a zombie', { state: 'Z', umask: '' }],
    ['it is dying', { state: 'X' }],
    ['it has no umask', { umask: '' }],
  ])('refuses where %s', (_, process) => {
    fake('7', process)
    expect(() => identifyCaller(3, seams())).toThrow(refused('HW_CALLER_UNKNOWN'))
  })

  it.each<[string, Fake]>([
    ['mount', { mnt: 'mnt:[2]' }],
    ['user', { user: 'user:[2]' }],
  ])('refuses another %s namespace', (_, process) => {
    fake('7', process)
    expect(() => identifyCaller(3, seams())).toThrow(refused('HW_CALLER_NAMESPACE'))
  })

  it('refuses a pid that is not visible, one that is gone, and one whose first owner has died', () => {
    expect(() => identifyCaller(3, seams())).toThrow(refused('HW_CALLER_UNKNOWN'))
    fake('7', {})
    const invisible = { peerCredentials: () => ({ pid: 0, uid: 5, gid: 6 }) }
    expect(() => identifyCaller(3, seams(invisible))).toThrow(refused('HW_CALLER_UNKNOWN'))
    expect(() => identifyCaller(3, seams({ isAlive: () => false }))).toThrow(
      refused('HW_CALLER_UNKNOWN'),
    )
  })

  it.each<[string, Partial<IdentitySeams>]>([
    ['SO_PEERCRED', { peerCredentials: fails('ENOTCONN') }],
    ['SO_PEERPIDFD', { peerPidfd: fails('ESRCH') }],
    ['pidfd_open', { peerPidfd: () => undefined, openPidfd: fails('EMFILE') }],
    ['poll', { isAlive: fails('EBADF') }],
    ['/proc', { procRoot: '/nowhere' }],
  ])('refuses where %s fails', (_, broken) => {
    fake('7', {})
    expect(() => identifyCaller(3, seams(broken))).toThrow(refused('HW_CALLER_UNKNOWN'))
  })

  it('pins by number where the socket gives no pidfd, by start time where nothing does', () => {
    fake('7', {})
    const byNumber = identifyCaller(3, seams({ peerPidfd: () => undefined }))
    expect(byNumber.pidfd).toBe(41)
    releaseCaller(byNumber, seams())
    const old = { peerPidfd: () => undefined, openPidfd: fails('ENOSYS') }
    const byTime = identifyCaller(3, seams(old))
    expect(byTime.pidfd).toBeUndefined()
    expect(isCallerAlive(byTime, seams())).toBe(true)
    writeFileSync(join(root, '7', 'stat'), `7 (x) S${' 0'.repeat(18)} 100 0\n`)
    expect(isCallerAlive(byTime, seams())).toBe(false)
  })

  it('is dead in doubt', () => {
    fake('7', {})
    const caller = identifyCaller(3, seams())
    expect(isCallerAlive(caller, seams({ isAlive: fails('EBADF') }))).toBe(false)
    releaseCaller(caller, seams())
    rmSync(join(root, '7'), { recursive: true })
    expect(isCallerAlive(caller, seams())).toBe(false)
  })
})

const fails = (code: string) => () => {
  throw Object.assign(new Error(code), { code })
}
