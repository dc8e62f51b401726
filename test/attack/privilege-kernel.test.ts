// A user who wants the kernel to do it for him: its files below /proc and /sys, cgroups, devices, modules, keys, sockets, clocks.
import { execFileSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { afterAll, beforeAll, expect } from 'vitest'
import { hepwrapRun } from '../slurm/job-runs.js'
import { startDaemon, stopDaemons } from '../world/daemon.js'
import { cgroupsOf, leftovers, mounts, nothing } from '../world/traces.js'
import { attack } from './attack.js'
import { type Attempted, attemptInside, compileAttempts } from './attempts.js'

const nodes = '/scratch/attack/nodes'
const program = '/scratch/attack/evil.sh'
/** Files of the kernel's that would make it run a program of his, or change how it treats others. */
const HOOKS = {
  'kernel/core_pattern': `|${program}`,
  'kernel/modprobe': program,
  'kernel/hotplug': program,
  'kernel/poweroff_cmd': program,
  'fs/suid_dumpable': '2',
  'fs/protected_symlinks': '0',
  'kernel/yama/ptrace_scope': '0',
  'kernel/randomize_va_space': '0',
  'kernel/dmesg_restrict': '0',
  'kernel/unprivileged_bpf_disabled': '0',
  'kernel/perf_event_paranoid': '-1',
  'net/ipv4/ip_forward': '1',
  'net/ipv4/ip_unprivileged_port_start': '0',
  'vm/overcommit_memory': '2',
  'vm/mmap_min_addr': '0',
} as const
const settings = Object.keys(HOOKS).filter((name) => existsSync(`/proc/sys/${name}`))
const sysFiles = [
  '/sys/kernel/uevent_helper',
  '/sys/kernel/mm/transparent_hugepage/enabled',
  '/sys/kernel/debug/tracing/tracing_on',
  '/sys/power/state',
  '/sys/class/net/lo/mtu',
  '/sys/module/kernel/parameters/panic',
  '/sys/devices/system/cpu/cpu0/online',
].filter((path) => existsSync(path))
const MASKED = [
  '/proc/kcore',
  '/proc/keys',
  '/proc/timer_list',
  '/proc/sched_debug',
  '/proc/latency_stats',
]
const masked = MASKED.filter((path) => existsSync(path))
const controllers = ['memory', 'cpu', 'pids', 'devices', 'freezer']
const cgroupFiles = ['release_agent', 'notify_on_release', 'tasks', 'cgroup.procs', 'devices.allow']

const tries = {
  hooks: settings.map((name) => `write=/proc/sys/${name}:${HOOKS[name as keyof typeof HOOKS]}`),
  sysrq: ['/proc/sysrq-trigger', '/proc/sys/kernel/sysrq']
    .filter(existsSync)
    .map((path) => `write=${path}:h`),
  sys: sysFiles.map((path) => `write=${path}:${program}`),
  masked: masked.map((path) => `read=${path}`),
  memory: ['/proc/kmsg', '/proc/1/pagemap', '/dev/mem', '/dev/kmem', '/dev/port'].map(
    (path) => `open=${path}`,
  ),
  binfmt: ['write=/proc/sys/fs/binfmt_misc/register::x:M::\\x7fELF::/scratch/attack/evil.sh:C'],
  cgroupMount: ['mount=cgroup', 'mount=cgroup2', 'fsopen=cgroup', 'unshare=0x12000000'],
  cgroupFiles: controllers.flatMap((controller) =>
    cgroupFiles.map((file) => `write=/sys/fs/cgroup/${controller}/${file}:${program}`),
  ),
  mknod: ['mknod=/tmp/disk', 'mknod=/home/alice/disk', 'mknod=/dev/disk'],
  nodes: ['disk', 'mem', 'kmsg', 'gpu', 'fuse', 'loop'].map((name) => `open=/nodes/${name}`),
  log: ['syslog=3', 'syslog=5', 'syslog=6'],
}
/** Made by root beforehand, for all to read and write: what is on the way to them is the device filter alone. */
const DEVICES = [
  ['disk', 'b', 254, 0],
  ['mem', 'c', 1, 1],
  ['kmsg', 'c', 1, 11],
  ['gpu', 'c', 203, 1],
  ['fuse', 'c', 10, 229],
  ['loop', 'c', 10, 237],
] as const

const kernelState = () =>
  [...settings.map((name) => `/proc/sys/${name}`), ...sysFiles].map((path) => {
    try {
      return [path, readFileSync(path, 'utf8')]
    } catch (error) {
      return [path, (error as NodeJS.ErrnoException).code]
    }
  })
const agents = () =>
  readdirSync('/sys/fs/cgroup')
    .flatMap((name) => cgroupFiles.slice(0, 2).map((file) => `/sys/fs/cgroup/${name}/${file}`))
    .filter(existsSync)
    .map((path) => [path, readFileSync(path, 'utf8')])

let alice: Attempted
let before: { kernel: unknown; agents: unknown }
beforeAll(async () => {
  compileAttempts()
  mkdirSync(nodes, { recursive: true })
  for (const [name, kind, major, minor] of DEVICES)
    execFileSync('mknod', ['-m', '0666', `${nodes}/${name}`, kind, String(major), String(minor)])
  writeFileSync(program, '#!/bin/sh\ntouch /scratch/attack/owned\n', { mode: 0o755 })
  before = {
    kernel: kernelState(),
    agents: agents(),
  }
  await startDaemon()
  const mounts = ['-v', `${nodes}:/nodes`]
  alice = await attemptInside('alice', Object.values(tries).flat(), mounts)
})
afterAll(async () => {
  await alice.release()
  expect(await leftovers()).toEqual(nothing)
  expect(existsSync('/scratch/attack/owned')).toBe(false)
  await stopDaemons()
  rmSync(nodes, { recursive: true })
})
/** None of his descriptors leads there. */
const expectNotOpen = (paths: RegExp) =>
  expect(alice.openFiles().filter((path) => paths.test(path))).toEqual([])

attack('P30', 'own', 'core_pattern, modprobe and the like stay as they were', async () => {
  alice.expectRefused([...tries.hooks, ...tries.sysrq])
  expect(tries.hooks.length).toBeGreaterThan(6)
  // Now a changed core_pattern would be used; a sysrq "h" would stand in the kernel's log.
  await hepwrapRun('alice', ['busybox:test', 'sh', '-c', 'kill -SEGV $$'], {
    slurm: ['-p', 'shared'],
  })
  expect(kernelState()).toEqual(before.kernel)
})

attack('P31', 'own', 'what is writable below /sys for root is not for him', () => {
  alice.expectRefused(tries.sys)
  expect(tries.sys.length).toBeGreaterThan(2)
  expect(kernelState()).toEqual(before.kernel)
  return Promise.resolve()
})

attack('P32', 'runc masked paths', 'kcore, keys and timer_list show nothing', async () => {
  const tried = tries.masked.map((name) => alice.outcomes.get(name))
  expect(tried).not.toContain(undefined)
  expect(readFileSync('/proc/keys', 'utf8')).not.toBe('')
  for (const path of masked.filter((path) => alice.outcomes.get(`read=${path}`) === 'done'))
    expect(statSync(`/proc/${alice.pid}/root${path}`).rdev, path).toBe(statSync('/dev/null').rdev)
  await Promise.resolve()
})

attack('P33', 'own', "neither the kernel's log nor physical memory is read", () => {
  alice.expectRefused(tries.memory, /^(EPERM|EACCES|ENOENT)$/)
  alice.expectRefused(tries.log)
  expectNotOpen(/kmsg|pagemap|mem$|port$/)
  return Promise.resolve()
})

attack('P34', 'own', 'no binary format is registered for the node', () => {
  alice.expectRefused(tries.binfmt, /^(EPERM|EACCES|EROFS|ENOENT)$/)
  expect(existsSync('/proc/sys/fs/binfmt_misc/x')).toBe(false)
  expect(mounts(alice.pid).filter(({ type }) => type === 'binfmt_misc')).toEqual([])
  return Promise.resolve()
})

attack('P35', 'CVE-2022-0492', 'no cgroup hierarchy is mounted anew for its release_agent', () => {
  alice.expectRefused(tries.cgroupMount)
  const writable = mounts(alice.pid).filter(
    ({ type, options }) => type.startsWith('cgroup') && !options.includes('ro'),
  )
  expect(writable).toEqual([])
  expect(agents()).toEqual(before.agents)
  return Promise.resolve()
})

attack(
  'P36',
  'Felix Wilhelm 2019',
  'no cgroup file is written: release_agent, devices.allow',
  () => {
    alice.expectRefused(tries.cgroupFiles, /^(EPERM|EACCES|EROFS|ENOENT)$/)
    expect(agents()).toEqual(before.agents)
    const own = `/sys/fs/cgroup/devices${cgroupsOf(alice.pid)['devices']!}/devices.list`
    expect(readFileSync(own, 'utf8')).not.toMatch(/^a/m)
    return Promise.resolve()
  },
)

attack('P37', 'own', 'no device node is made, in the image or in a home', () => {
  alice.expectRefused(tries.mknod)
  for (const path of ['/home/alice/disk', `/proc/${alice.pid}/root/tmp/disk`])
    expect(existsSync(path)).toBe(false)
  return Promise.resolve()
})

attack('P38', 'own', "device nodes that lie in a mount: disk, memory, another job's GPU", () => {
  alice.expectRefused(tries.nodes, /^EACCES$/) // nodev, before any filter is asked
  expectNotOpen(/^\/nodes/)
  return Promise.resolve()
})
