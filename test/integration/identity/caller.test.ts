// Who calls, against real sockets, pids and namespaces.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chmodSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { identifyCaller, isCallerAlive, releaseCaller } from '../../../src/identity/caller.js'
import { startPeer, type Peer, type PeerOptions } from '../peer.js'

describe('identity', () => {
  let directory: string
  const peers: Peer[] = []
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'hepwrap-identity-'))
    chmodSync(directory, 0o755)
  })
  afterEach(async () => {
    for (const peer of peers.splice(0)) await peer.kill()
    rmSync(directory, { recursive: true })
  })
  const start = async (options?: PeerOptions) => {
    const peer = await startPeer(join(directory, `socket${peers.length}`), options)
    peers.push(peer)
    return peer
  }
  const refused = (code: string): unknown => expect.objectContaining({ code })

  it('knows uid, gid, groups and umask of the process that connected', async () => {
    const peer = await start({
      wrapper: ['setpriv', '--reuid=2001', '--regid=2001', '--groups=3000,3007', '--'],
    })
    await peer.evaluate('process.umask(0o027)')
    const caller = peer.identify()
    expect(caller).toMatchObject({ uid: 2001, gid: 2001, pid: peer.pid, umask: 0o027 })
    expect([...caller.groups].sort()).toEqual([3000, 3007])
    expect(caller.pidfd).toEqual(expect.any(Number))
    expect(isCallerAlive(caller)).toBe(true)
  })

  it('sees a caller die, and refuses a dead one', async () => {
    const peer = await start({ uid: 2001, gid: 2001 })
    const caller = peer.identify()
    process.kill(peer.pid, 'SIGKILL')
    await expect.poll(() => isCallerAlive(caller)).toBe(false)
    expect(() => identifyCaller(peer.fd)).toThrow(refused('HW_CALLER_UNKNOWN'))
  })

  it('refuses a caller that has become another user since it connected', async () => {
    const peer = await start({
      wrapper: ['setpriv', '--reuid=0', '--regid=0', '--clear-groups', '--'],
    })
    await peer.evaluate('process.setuid(2001)')
    expect(() => peer.identify()).toThrow(refused('HW_CALLER_UNKNOWN'))
  })

  it('refuses a caller whose effective user alone is another', async () => {
    const peer = await start()
    await peer.evaluate('process.seteuid(2001)')
    expect(() => peer.identify()).toThrow(refused('HW_CALLER_UNKNOWN'))
  })

  it.each([
    ['mount', ['unshare', '--mount']],
    ['user', ['unshare', '--user', '--map-root-user']],
  ])('refuses a caller in a %s namespace of its own', async (_, wrapper) => {
    const peer = await start({ wrapper })
    expect(() => peer.identify()).toThrow(refused('HW_CALLER_NAMESPACE'))
  })

  it('works by number and start time on kernels without SO_PEERPIDFD and pidfd_open', async () => {
    const peer = await start({ uid: 2001, gid: 2001 })
    const caller = identifyCaller(peer.fd, {
      peerPidfd: () => undefined,
      openPidfd: () => {
        throw Object.assign(new Error('pidfd_open'), { code: 'ENOSYS' })
      },
    })
    expect(caller.pidfd).toBeUndefined()
    expect(isCallerAlive(caller)).toBe(true)
    expect(isCallerAlive({ ...caller, startTimeTicks: caller.startTimeTicks - 1 })).toBe(false)
    await peer.kill()
    expect(isCallerAlive(caller)).toBe(false)
  })

  it('closes its descriptor once', async () => {
    const peer = await start()
    const caller = identifyCaller(peer.fd)
    releaseCaller(caller)
    const again = identifyCaller(peer.fd)
    expect(again.pidfd).toBe(caller.pidfd)
    releaseCaller(caller)
    expect(isCallerAlive(again)).toBe(true)
    releaseCaller(again)
  })

  it('refuses what is not a socket', () => {
    expect(() => identifyCaller(1_000_000)).toThrow(refused('HW_CALLER_UNKNOWN'))
  })
})
