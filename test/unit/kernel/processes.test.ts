import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer, connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { lookupGroup, lookupUser } from '../../../src/kernel/accounts.js'
import { copyAffinity } from '../../../src/kernel/affinity.js'
import { withDirectoryLock } from '../../../src/kernel/flock.js'
import { hungUp } from '../../../src/kernel/hang-up.js'
import { bindMount, unmountDetached } from '../../../src/kernel/mount.js'
import { peerCredentials } from '../../../src/kernel/peercred.js'
import { closeFd, isAlive, openPidfd, peerPidfd, sendSignal } from '../../../src/kernel/pidfd.js'
import { statDescriptor, statPath } from '../../../src/kernel/stat.js'

let base: string
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'hepwrap-kernel-'))
})
afterEach(() => {
  rmSync(base, { recursive: true })
})
const failsWith = (code: string): unknown => expect.objectContaining({ code })

describe('peers', () => {
  it('are known by pid, uid and gid, and by pidfd', async () => {
    const server = createServer().listen(join(base, 'socket'))
    await once(server, 'listening')
    const client = connect(join(base, 'socket'))
    const [socket] = (await once(server, 'connection')) as [Socket]
    const { fd } = (socket as unknown as { _handle: { fd: number } })._handle
    expect(peerCredentials(fd)).toEqual({
      pid: process.pid,
      uid: process.geteuid?.(),
      gid: process.getegid?.(),
    })
    const pidfd = peerPidfd(fd)
    if (pidfd !== undefined) {
      expect(isAlive(pidfd)).toBe(true)
      closeFd(pidfd)
    }
    client.destroy()
    socket.destroy()
    server.close()
  })

  it('that have closed are told from those that wait, unread', async () => {
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true })
    const accepted: Socket[] = []
    server.on('connection', (socket) => void accepted.push(socket))
    server.listen(join(base, 'socket'))
    await once(server, 'listening')
    const clients = [1, 2, 3].map(() => connect(join(base, 'socket')).on('error', () => undefined))
    await expect.poll(() => accepted.length).toBe(3)
    const fds = accepted.map(
      (socket) => (socket as unknown as { _handle: { fd: number } })._handle.fd,
    )
    expect(hungUp(fds)).toEqual([])
    clients[0]?.write('more to come')
    clients[1]?.end('this is all') // its own half: it waits for the answer
    clients[2]?.destroy()
    await expect.poll(() => hungUp(fds)).toEqual([fds[2]])
    expect(accepted.map(({ bytesRead }) => bytesRead)).toEqual([0, 0, 0])
    for (const socket of [...clients, ...accepted]) socket.destroy()
    server.close()
  })

  it('are none at a file or a closed descriptor', () => {
    const fd = openSync(base, 'r')
    expect(() => peerCredentials(fd)).toThrow(failsWith('ENOTSOCK'))
    expect(() => peerPidfd(fd)).toThrow(failsWith('ENOTSOCK'))
    closeSync(fd)
    expect(() => peerCredentials(1_000_000)).toThrow(failsWith('EBADF'))
  })
})

describe('pidfds', () => {
  it('signal a process, and see it end before it is reaped', async () => {
    const child = spawn('sleep', ['60'])
    const pidfd = openPidfd(child.pid ?? 0)
    expect(isAlive(pidfd)).toBe(true)
    expect(sendSignal(pidfd, 0)).toBe(true)
    expect(sendSignal(pidfd, 9)).toBe(true)
    await expect.poll(() => isAlive(pidfd)).toBe(false)
    if (child.signalCode === null) await once(child, 'exit')
    expect(sendSignal(pidfd, 0)).toBe(false)
    closeFd(pidfd)
  })

  it('fail loudly', () => {
    expect(() => openPidfd(4_000_000)).toThrow(failsWith('ESRCH'))
    expect(() => sendSignal(1_000_000, 0)).toThrow(failsWith('EBADF'))
  })
})

describe('mounts', () => {
  it('name what fails', () => {
    expect(() => {
      bindMount('/nowhere', join(base, 'x'), { recursive: false })
    }).toThrow(process.geteuid?.() === 0 ? failsWith('ENOENT') : /ENOENT|EPERM/)
    expect(() => {
      bindMount('a\0b', base, { recursive: false })
    }).toThrow(/NUL/)
  })

  it.runIf(process.geteuid?.() === 0)('are not there where there is none', () => {
    expect(unmountDetached(base)).toBe(false)
    expect(unmountDetached(join(base, 'nowhere'))).toBe(false)
  })
})

describe('stat', () => {
  it('tells kinds apart and does not follow links', () => {
    mkdirSync(join(base, 'd'))
    writeFileSync(join(base, 'f'), '')
    symlinkSync('d', join(base, 'l'))
    expect(['d', 'f', 'l'].map((name) => statPath(join(base, name)).kind)).toEqual([
      'directory',
      'file',
      'other',
    ])
    expect(statPath('/dev/null').kind).toBe('other')
    const fd = openSync(join(base, 'f'), 'r')
    expect(statDescriptor(fd)).toEqual(statPath(join(base, 'f')))
    closeSync(fd)
    expect(() => statPath(join(base, 'none'))).toThrow(failsWith('ENOENT'))
  })
})

describe('locks', () => {
  it('are held while the work is done, and by one at a time', () => {
    expect(withDirectoryLock(base, () => withDirectoryLock(base, () => 'inner'))).toBeUndefined()
    expect(withDirectoryLock(base, () => 'outer')).toBe('outer')
  })
})

describe('affinity', () => {
  it('is copied, unless one of the two is gone', async () => {
    const child = spawn('sleep', ['60'])
    expect(copyAffinity(process.pid, child.pid ?? 0)).toBe(true)
    child.kill('SIGKILL')
    await once(child, 'exit')
    expect(copyAffinity(process.pid, 4_000_000)).toBe(false)
    expect(copyAffinity(4_000_000, process.pid)).toBe(false)
  })
})

describe('accounts', () => {
  it('are those of the C library', async () => {
    expect(await lookupUser(0)).toMatchObject({ name: 'root', home: '/root' })
    expect(await lookupGroup(0)).toBe('root')
    expect(await lookupUser(3_999_999_999)).toBeUndefined()
    expect(await lookupGroup(3_999_999_999)).toBeUndefined()
    expect(lookupUser(0)).toBe(lookupUser(0))
  })
})
