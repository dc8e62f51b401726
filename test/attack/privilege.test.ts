// A user who wants to be more than he is: identities, capabilities, namespaces, other processes, limits.
import {
  copyFileSync,
  chmodSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { holdRun, statusField } from '../slurm/held-run.js'
import { hepwrapRun } from '../slurm/job-runs.js'
import { startDaemon, stopDaemons } from '../world/daemon.js'
import { eventually } from '../world/eventually.js'
import { leftovers, mounts, nothing, processes } from '../world/traces.js'
import { as, type Running } from '../world/world.js'
import { attack } from './attack.js'
import { type Attempted, attemptInside, attemptPrivileged, compileAttempts } from './attempts.js'
import { PROGRAM } from './attempts.js'
import { loadImage, removeImages } from './hostile-image.js'
import { expectPlainUser, shared } from './hostile-run.js'

const secret = '/scratch/attack/of-root'
const NAMESPACES = ['user', 'mnt', 'pid', 'net', 'ipc', 'uts', 'cgroup']
let hers: Running
let his: Running
let tries: Record<string, string[]>
let alice: Attempted
let mountsBefore: string[]

beforeAll(async () => {
  compileAttempts()
  writeFileSync(secret, 'SECRET\n', { mode: 0o600 })
  await startDaemon({ config: { images: { allow: ['busybox:test', 'files:test'] } } })
  hers = as('alice').start(['sleep', '611'], { timeoutMs: 300_000 })
  his = as('bob').start(['sleep', '612'], { timeoutMs: 300_000 })
  tries = attemptsWith(hers.pid, his.pid)
  alice = await attemptInside('alice', Object.values(tries).flat())
  mountsBefore = mountPoints(alice.initPid)
})
afterAll(async () => {
  await alice.release()
  for (const run of [hers, his]) run.kill('SIGKILL')
  expect(await leftovers()).toEqual(nothing)
  await stopDaemons()
})

const attemptsWith = (own: number, foreign: number) => ({
  capabilities: ['capset', 'ambient', 'securebits', 'set-mm'],
  inheritable: ['inheritable'],
  privileges: ['new-privileges'],
  userns: ['unshare=0x10000000', 'clone=0x10000000', 'clone3=0x10000000', 'unshare=0x10020000'],
  namespaces: ['unshare=0x20000', 'unshare=0x40000000', 'unshare=0x2000000', 'clone=0x20000000'],
  mount: ['mount=tmpfs', 'mount=proc', 'mount=overlay', 'bind=/etc', 'remount=/', 'umount=/attack'],
  newMount: ['fsopen=tmpfs', 'fsopen=cgroup2', 'open-tree=/'],
  root: ['chroot=/attack', 'pivot-root=/attack'],
  setns: NAMESPACES.map((name) => `setns=/proc/1/ns/${name}`),
  init: ['ptrace=1', 'seize=1', 'vm-write=1', 'pidfd-getfd=1', 'open-write=/proc/1/mem'],
  traverse: ['root/etc', 'cwd/', 'fd', 'map_files'].map((name) => `list=/proc/1/${name}`),
  initFiles: ['environ', 'maps', 'stack', 'syscall'].map((name) => `read=/proc/1/${name}`),
  processes: [own, foreign].flatMap((pid) =>
    ['kill', 'ptrace', 'vm-write'].map((a) => `${a}=${pid}`),
  ),
  handle: [`handle=${statSync(secret).ino}`, `handle=${statSync('/etc/shadow').ino}`, 'handle=2'],
  identity: ['setuid=0', 'setuid=2002', 'setgid=0', 'setgid=3001', 'setgroups=0', 'setgroups=3001'],
  limits: ['3', '4', '6', '7', '8', '12', '13', '14'].map((number) => `rlimit=${number}`),
  scheduling: ['real-time=1', 'real-time=2', 'nice=-5', 'ioprio=1'],
  memory: ['write=/proc/self/oom_score_adj:-1000', 'write=/proc/1/oom_score_adj:-1000'],
})

const mountPoints = (pid: number) => mounts(pid).map(({ mountPoint }) => mountPoint)
const hardLimits = (pid: number) =>
  Object.fromEntries(
    [...readFileSync(`/proc/${pid}/limits`, 'utf8').matchAll(/^(Max .*?)  +\S+ +(\S+)/gm)].map(
      ([, name, hard]) => [name!, hard === 'unlimited' ? Infinity : Number(hard)],
    ),
  )
/** A program in a run of alice's, and its process on the node. */
async function withProgram(image: string, path: string, options: string[]): Promise<void> {
  const command = ['sh', '-c', `${path} -hold setuid=0 setgid=0 & cat`]
  const run = await holdRun('alice', shared, options, { command, image })
  await eventually(() => run.stdoutSoFar().endsWith('end\n'))
  const [found] = processes(new RegExp(`^${path} -hold`))
  expectPlainUser(found!.pid)
  expect(run.stdoutSoFar()).not.toMatch(/done/)
  await run.release()
}

const body = () => readFileSync(PROGRAM)
/** struct vfs_cap_data, revision 2: all capabilities permitted, and effective at once or not. */
const capabilities = (effective: 0 | 1) =>
  Buffer.from(`0${effective}000002${'ff'.repeat(16)}`, 'hex')
const programs = () => [
  { path: 'setuid', mode: 0o4755, body: body() },
  { path: 'setgid', mode: 0o2755, gid: 0, body: body() },
  { path: 'capable', mode: 0o755, body: body(), capability: capabilities(0) },
  { path: 'mighty', mode: 0o755, body: body(), capability: capabilities(1) },
]

attack(
  'P01',
  'Sarus, Shifter',
  'a set-user-ID root program of the image gains nothing',
  async () => {
    await loadImage('files:test', { entries: programs() })
    await withProgram('files:test', '/setuid', [])
  },
)

attack('P02', 'own', 'a set-group-ID root program gains no group', () =>
  withProgram('files:test', '/setgid', []),
)

attack('P03', 'own', 'file capabilities in the image give no capability', async () => {
  await withProgram('files:test', '/capable', [])
  const { status, stderr } = await hepwrapRun('alice', ['files:test', '/mighty', 'setuid=0'], {
    slurm: ['-p', 'shared'],
  })
  expect(status).toBe(126) // the kernel executes it only for one who may have what it asks for
  expect(stderr).toContain('(HW_COMMAND_NOT_EXECUTABLE)')
  await removeImages(['files:test'])
})

attack('P04', 'own', 'a set-user-ID root program of the node, mounted, gains nothing', async () => {
  copyFileSync(PROGRAM, '/scratch/attack/sudo')
  chmodSync('/scratch/attack/sudo', 0o4755)
  await withProgram('busybox:test', '/bin/sudo', ['-v', '/scratch/attack/sudo:/bin/sudo'])
})

attack('P05', 'CVE-2022-24769', 'no capability is inherited, ambient, bounded or set', () => {
  alice.expectRefused(tries['capabilities']!)
  alice.expectRefused(tries['inheritable']!)
  expectPlainUser(alice.pid)
  expectPlainUser(alice.initPid)
  return Promise.resolve()
})

attack('P06', 'own', 'no_new_privs and seccomp cannot be taken off again', () => {
  alice.expectRefused(tries['privileges']!, /^EINVAL$/)
  expect(['NoNewPrivs', 'Seccomp'].map(alice.status)).toEqual(['1', '2'])
  return Promise.resolve()
})

attack('P07', 'CVE-2022-0185, CVE-2023-2640', 'no user namespace: unshare, clone, clone3', () => {
  alice.expectRefused(tries['userns']!)
  expectOwnNamespacesOnly(['user'])
  expect(readFileSync(`/proc/${alice.pid}/uid_map`, 'utf8')).toBe(
    readFileSync('/proc/self/uid_map', 'utf8'),
  )
  return Promise.resolve()
})

attack('P08', 'runc', 'no other new namespace: mount, network, cgroup, pid', () => {
  alice.expectRefused(tries['namespaces']!)
  expectOwnNamespacesOnly(NAMESPACES)
  return Promise.resolve()
})

/** He is in the same namespaces as the init that we gave him. */
function expectOwnNamespacesOnly(names: string[]): void {
  const of = (pid: number | 'self') => names.map((name) => readlinkSync(`/proc/${pid}/ns/${name}`))
  expect(of(alice.pid)).toEqual(of(alice.initPid))
  expect(readlinkSync(`/proc/${alice.pid}/ns/user`)).toBe(readlinkSync('/proc/self/ns/user'))
}

attack('P09', 'pyxis', 'no mount, remount, bind or umount', () => {
  alice.expectRefused(tries['mount']!)
  expect(mountPoints(alice.pid)).toEqual(mountsBefore)
  expect(mountPoints(alice.pid)).toContain('/attack')
  return Promise.resolve()
})

attack('P10', 'CVE-2022-0185', 'no mount by the newer calls: fsopen, open_tree', () => {
  alice.expectRefused(tries['newMount']!)
  expect(alice.openFiles().filter((path) => /^\/$|fscontext/.test(path))).toEqual([])
  return Promise.resolve()
})

attack('P11', 'runc', 'no chroot, no pivot_root', () => {
  alice.expectRefused(tries['root']!)
  const rootOf = (pid: number) => statSync(`/proc/${pid}/root/`)
  expect(rootOf(alice.pid).ino).toBe(rootOf(alice.initPid).ino)
  return Promise.resolve()
})

attack('P12', 'own', 'no namespace is entered by way of /proc/1/ns', () => {
  alice.expectRefused(tries['setns']!)
  expectOwnNamespacesOnly(NAMESPACES)
  expect(alice.openFiles().filter((path) => path.includes('ns'))).toEqual([])
  return Promise.resolve()
})

attack(
  'P13',
  'CVE-2016-9962',
  'PID 1 cannot be traced, written to or robbed of descriptors',
  () => {
    alice.expectRefused(tries['init']!)
    expect(statusField(alice.initPid, 'TracerPid')).toBe('0')
    expect(statSync(`/proc/${alice.initPid}/mem`).uid).toBe(0) // not dumpable
    return Promise.resolve()
  },
)

attack('P14', 'own', 'PID 1 shows neither its root nor its descriptors nor its memory', () => {
  alice.expectRefused([...tries['traverse']!, ...tries['initFiles']!])
  expect(alice.openFiles().filter((path) => /^\/(proc\/1\/|etc)/.test(path))).toEqual([])
  return Promise.resolve()
})

attack(
  'P15',
  'own',
  "processes of the node, the user's own and another's, are out of reach",
  () => {
    alice.expectRefused(tries['processes']!, /^(ESRCH|EPERM|ENOSYS)$/)
    for (const { pid } of [hers, his]) {
      expect(statusField(pid, 'State')).toMatch(/^S/)
      expect(statusField(pid, 'TracerPid')).toBe('0')
    }
    return Promise.resolve()
  },
)

attack('P16', 'own', 'SIGKILL to everybody (-1) ends only what is in the container', async () => {
  const script = 'sleep 613 & read go; exec /attack/attempts kill=1 kill=-1'
  const options = ['-v', '/scratch/attack:/attack:ro']
  const run = await holdRun('alice', shared, options, { command: ['sh', '-c', script] })
  run.child.stdin?.write('go\n')
  expect(await run.result).toMatchObject({ status: 0, stdout: 'kill=1 done\nkill=-1 done\nend\n' })
  for (const { pid } of [hers, his, alice]) expect(statusField(pid, 'State')).toMatch(/^S/)
})

attack('P17', 'shocker (Docker 0.11)', 'no file of the node is opened by its handle', () => {
  alice.expectRefused(tries['handle']!)
  expect(alice.openFiles().filter((path) => /of-root|shadow/.test(path))).toEqual([])
  return Promise.resolve()
})

attack('P18', 'Charliecloud run_uidgid', 'no other uid, gid or group: root, bob, cms', () => {
  alice.expectRefused(tries['identity']!)
  expectPlainUser(alice.pid)
  return Promise.resolve()
})

attack('P19', 'own', 'no hard limit is above that of the job', () => {
  alice.expectRefused(tries['limits']!)
  const client = processes(/node.* run -i /).find(({ uid }) => uid === 2001)!
  const allowed = hardLimits(client.pid)
  for (const [name, hard] of Object.entries(hardLimits(alice.pid)))
    expect(hard, name).toBeLessThanOrEqual(allowed[name]!)
  return Promise.resolve()
})

attack('P20', 'own', 'no real-time scheduling, no negative nice, no real-time I/O', () => {
  alice.expectRefused(tries['scheduling']!)
  const fields = readFileSync(`/proc/${alice.pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ')
  expect({ nice: fields[16], policy: fields[38] }).toEqual({ nice: '0', policy: '0' })
  return Promise.resolve()
})

attack(
  'P21',
  'own',
  'the kernel’s OOM killer still takes the container before the node’s own',
  () => {
    alice.expectRefused(tries['memory']!)
    const score = (pid: number) => Number(readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8'))
    expect([alice.pid, alice.initPid].map(score)).toEqual([500, 500])
    return Promise.resolve()
  },
)

it('though with privileges the same program does these things', async () => {
  const done = ['nice=-5', 'setgroups=0', 'fsopen=tmpfs', 'open-tree=/', 'setns=/proc/1/ns/mnt']
  const outcomes = await attemptPrivileged([...done, 'unshare=0x10000000', 'chroot=/attack'])
  expect([...outcomes].filter(([, outcome]) => outcome !== 'done')).toEqual([])
})
