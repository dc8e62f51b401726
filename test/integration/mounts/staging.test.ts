// Staging on the real kernel: what a hostile client may try with descriptors, and what is left on the host afterwards.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  closeSync,
  copyFileSync,
  openSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { BindMount } from '../../../src/engine/engine.js'
import type { Caller } from '../../../src/identity/caller.js'
import { bindMount, makeSlave, unmountDetached } from '../../../src/kernel/mount.js'
import { stageMounts, unstageMounts, type Staging } from '../../../src/mounts/staging.js'
import type { PlanMount } from '../../../src/plan/run-plan.js'
import { readMounts } from '../../../src/proc/mount-info.js'
import { readProcess } from '../../../src/proc/process.js'
import { startPeer, type Peer } from '../peer.js'

const UID = 2001

describe('staging', () => {
  let base: string
  let home: string
  let run: string
  let peer: Peer
  let caller: Caller

  beforeEach(async () => {
    base = realpathSync(mkdtempSync(join(tmpdir(), 'hepwrap-mounts-')))
    chmodSync(base, 0o755)
    // A shared mount of its own, as / and /run are under systemd.
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=0755', 'test', base])
    execFileSync('mount', ['--make-shared', base])
    home = join(base, 'home')
    run = join(base, 'run')
    mkdirSync(home)
    mkdirSync(run, { mode: 0o700 })
    writeFileSync(join(home, 'letter'), 'dear')
    chownSync(home, UID, UID)
    peer = await startPeer(join(base, 'socket'), { uid: UID, gid: UID })
    caller = peer.identify()
  })

  afterEach(async () => {
    unstageMounts(run)
    await peer.kill()
    execFileSync('umount', ['-R', base])
    rmSync(base, { recursive: true })
  })

  const open = async (path: string, flags = 'O_PATH') =>
    Number(await peer.evaluate(`fs.openSync(${JSON.stringify(path)}, ${flags})`))
  const callers = (source: string, fd: number, origin: 'user' | 'home' = 'user'): PlanMount => {
    return { kind: 'caller', source, fd, target: '/there', readOnly: false, origin }
  }
  const lawOf = (denied: readonly string[]) => ({
    denied: denied.map((path) => ({ path, decidedBy: '' })),
    allowed: [{ path: '/', decidedBy: '' }],
    readOnly: [],
    decidedBy: '',
  })
  const stage = (
    mounts: readonly PlanMount[],
    denied: readonly string[] = [join(base, 'secret')],
  ) => stageMounts(mounts, { caller, runDirectory: run, law: lawOf(denied) })
  const stagedAt = ({ mounts }: Staging, index = 0): BindMount => {
    const mount = mounts[index]
    if (mount?.kind !== 'bind') throw new Error('not a bind mount')
    return mount
  }
  const refusal = async (mounts: readonly PlanMount[], denied?: readonly string[]) => {
    const before = readMounts().length
    const error: unknown = await stage(mounts, denied).then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    expect(readMounts().length).toBe(before)
    expect(readdirSync(run)).toEqual([])
    return error as { code: string; message: string } | undefined
  }

  it('shows a directory and a file of the caller’s, in the order of the plan', async () => {
    const tmpfs: PlanMount = { kind: 'tmpfs', target: '/t', sizeBytes: undefined, mode: undefined }
    const staging = await stage([
      callers('letter', await open(join(home, 'letter'))),
      tmpfs,
      callers(home, await open(home)),
    ])
    expect(staging.mounts.map(({ kind }) => kind)).toEqual(['bind', 'tmpfs', 'bind'])
    expect(readFileSync(stagedAt(staging, 0).source, 'utf8')).toBe('dear')
    expect(readdirSync(stagedAt(staging, 2).source)).toEqual(['letter'])
    expect(stagedAt(staging, 2)).toMatchObject({
      target: '/there',
      readOnly: false,
      propagation: 'rprivate',
    })
    expect(statSync(join(run, 'staging')).mode & 0o777).toBe(0o700)
    unstageMounts(run)
    expect(readdirSync(run)).toEqual([])
    expect(readdirSync(home)).toEqual(['letter'])
    unstageMounts(run)
  })

  it('keeps the host’s own submounts when a recursive copy of them is detached', async () => {
    const sub = join(home, 'sub')
    mkdirSync(sub)
    execFileSync('mount', ['-t', 'tmpfs', 'sub', sub])
    writeFileSync(join(sub, 'inner'), '')
    const staging = await stage([callers(home, await open(home))])
    expect(readdirSync(join(stagedAt(staging).source, 'sub'))).toEqual(['inner'])
    unstageMounts(run)
    expect(readdirSync(sub)).toEqual(['inner'])
    expect(readMounts().filter(({ mountPoint }) => mountPoint.startsWith(run))).toEqual([])
  })

  it('undoes what a daemon left that died between binding and making it a slave', () => {
    const sub = join(home, 'sub')
    mkdirSync(sub)
    execFileSync('mount', ['-t', 'tmpfs', 'sub', sub])
    mkdirSync(join(run, 'staging', 'm0'), { recursive: true })
    bindMount(join(run, 'staging'), join(run, 'staging'), { recursive: false })
    bindMount(home, join(run, 'staging', 'm0'), { recursive: true })
    unstageMounts(run)
    expect(readdirSync(run)).toEqual([])
    expect(readMounts().some(({ mountPoint }) => mountPoint === sub)).toBe(true)
  })

  it('binds what the descriptor names, not what the name becomes', async () => {
    const fd = await open(home)
    renameSync(home, join(base, 'moved'))
    symlinkSync('/etc', home)
    const staging = await stage([callers(home, fd)])
    expect(readdirSync(stagedAt(staging).source)).toEqual(['letter'])
  })

  it('reaches below a parent that root opened but the caller could not: only through his own descriptor', async () => {
    const closed = join(base, 'closed')
    mkdirSync(join(closed, 'open'), { recursive: true })
    chmodSync(closed, 0o700)
    const answer = await peer.evaluate(
      `fs.openSync(${JSON.stringify(join(closed, 'open'))}, O_PATH)`,
    )
    expect(answer).toEqual({ error: 'EACCES' })
    expect(await refusal([callers(join(closed, 'open'), 400)])).toMatchObject({
      code: 'HW_MOUNT_SOURCE',
    })
  })

  it('refuses what is not a directory or a file of this node', async () => {
    const inHome = (name: string) => JSON.stringify(join(home, name))
    const existing = (kind: string) =>
      `Number(fs.readdirSync('/proc/self/fd').find((n) => { try { return fs.readlinkSync('/proc/self/fd/' + n).startsWith('${kind}') } catch { return false } }))`
    const odd: Record<string, string> = {
      pipe: existing('pipe:'),
      socket: existing('socket:'),
      'anonymous inode': existing('anon_inode:'),
      device: "fs.openSync('/dev/null', O_PATH)",
      proc: "fs.openSync('/proc', O_PATH)",
      'a process': "fs.openSync('/proc/self', O_PATH)",
      sysfs: "fs.openSync('/sys/kernel', O_PATH)",
      deleted: `fs.mkdirSync(${inHome('gone')}); const gone = fs.openSync(${inHome('gone')}, O_PATH); fs.rmdirSync(${inHome('gone')}); gone`,
      link: `fs.symlinkSync('/', ${inHome('link')}); fs.openSync(${inHome('link')}, O_PATH | fs.constants.O_NOFOLLOW)`,
      fifo: `require('node:child_process').execFileSync('mkfifo', [${inHome('fifo')}]); fs.openSync(${inHome('fifo')}, O_PATH)`,
    }
    for (const [what, expression] of Object.entries(odd)) {
      const fd = await peer.evaluate(expression)
      expect(fd, what).toEqual(expect.any(Number))
      const error = await refusal([callers(what, Number(fd))])
      expect(error?.code, `${what}: ${String(error?.message)}`).toMatch(
        /^HW_MOUNT_(REFUSED|SOURCE)$/,
      )
    }
  })

  it('refuses a denied path, what lies below it, what contains it, and other names of the same place', async () => {
    const secret = join(base, 'secret')
    mkdirSync(join(secret, 'deep'), { recursive: true })
    const alias = join(home, 'alias')
    mkdirSync(alias)
    bindMount(secret, alias, { recursive: false })
    for (const path of [
      secret,
      join(secret, 'deep'),
      base,
      '/',
      alias,
      home,
      join(alias, 'deep'),
    ]) {
      const error = await refusal([callers(path, await open(path))])
      expect(error, path).toMatchObject({ code: 'HW_MOUNT_REFUSED' })
      expect(error?.message).toContain(secret)
    }
    unmountDetached(alias)
    symlinkSync(secret, join(base, 'pointer'))
    const viaLink = await refusal([callers(secret, await open(secret))], [join(base, 'pointer')])
    expect(viaLink?.code).toBe('HW_MOUNT_REFUSED')
    await stage([callers(home, await open(home))])
  })

  it('leaves out home where it may not be shown, and says so', async () => {
    const staging = await stage([
      callers('/', await open('/'), 'home'),
      callers(home, await open(home)),
    ])
    expect(staging.mounts).toHaveLength(1)
    expect(staging.skipped).toMatchObject([{ source: '/', code: 'HW_MOUNT_REFUSED' }])
  })

  it('refuses a descriptor once its process is dead, or no longer plainly the caller’s', async () => {
    const fd = await open(home)
    await peer.kill()
    expect(await refusal([callers(home, fd, 'home')])).toMatchObject({ code: 'HW_CALLER_UNKNOWN' })
  })

  it('refuses the descriptors of a process that is not dumpable: a setuid program may have opened them', async () => {
    const programs = { plain: 0o755, unreadable: 0o711 }
    for (const [name, mode] of Object.entries(programs)) {
      const program = join(base, name)
      copyFileSync('/bin/sleep', program)
      chmodSync(program, mode)
      const fd = openSync(home, 'r')
      const child = spawn(program, ['60'], { uid: UID, gid: UID, stdio: [fd, 'ignore', 'ignore'] })
      await once(child, 'spawn')
      closeSync(fd)
      const facts = readProcess(child.pid ?? 0)
      const { pid = 0, startTimeTicks = 0 } = facts ?? {}
      const of = { uid: UID, gid: UID, groups: [], pid, pidfd: undefined, startTimeTicks, umask: 0 }
      const staged = stageMounts([callers(home, 0)], {
        caller: of,
        runDirectory: run,
        law: lawOf([]),
      })
      if (name === 'plain') await staged
      else await expect(staged).rejects.toMatchObject({ code: 'HW_CALLER_UNKNOWN' })
      unstageMounts(run)
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
  })

  it('takes the site’s paths as they are, and passes on what the host mounts there later', async () => {
    const site = join(base, 'cvmfs')
    mkdirSync(site)
    execFileSync('mount', ['-t', 'tmpfs', 'site', site])
    execFileSync('mount', ['--make-shared', site])
    const mount = {
      kind: 'site',
      source: site,
      target: '/cvmfs',
      readOnly: true,
      optional: false,
    } as const
    const staging = await stage([mount, { ...mount, source: '/nowhere', optional: true }])
    expect(stagedAt(staging)).toMatchObject({ propagation: 'rslave', readOnly: true })
    expect(staging.skipped).toMatchObject([{ source: '/nowhere' }])
    mkdirSync(join(site, 'repo'))
    execFileSync('mount', ['-t', 'tmpfs', 'repo', join(site, 'repo')])
    writeFileSync(join(site, 'repo', 'file'), '')
    expect(existsSync(join(stagedAt(staging).source, 'repo', 'file'))).toBe(true)
    unstageMounts(run)
    expect(existsSync(join(site, 'repo', 'file'))).toBe(true)
    expect(await refusal([{ ...mount, source: '/nowhere' }])).toMatchObject({
      code: 'HW_MOUNT_SOURCE',
    })
  })

  it('says so where a mount is left that it does not know: nobody may remove what lies there', () => {
    mkdirSync(join(run, 'other'))
    bindMount(home, join(run, 'other'), { recursive: false })
    expect(() => {
      unstageMounts(run)
    }).toThrow(/other" is still mounted/)
    unmountDetached(join(run, 'other'))
    unstageMounts(run)
  })

  it('does not go where a staging directory is already', async () => {
    mkdirSync(join(run, 'staging'))
    await expect(stage([])).rejects.toMatchObject({ code: 'HW_MOUNT_FAILED' })
    expect(() => {
      makeSlave(join(run, 'staging'), { recursive: true })
    }).toThrow(/EINVAL/)
  })
})
