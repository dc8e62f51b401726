// A user who asks the kernel by its calls: modules, programs, keys, clocks, names, sockets, the terminal of his caller.
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { hepwrapRun } from '../slurm/job-runs.js'
import { startDaemon, stopDaemons } from '../world/daemon.js'
import { eventually } from '../world/eventually.js'
import { startOnTerminal } from '../world/terminal.js'
import { leftovers, nothing } from '../world/traces.js'
import { as, expectSuccess } from '../world/world.js'
import { attack } from './attack.js'
import { type Attempted, attemptInside, attemptPrivileged, compileAttempts } from './attempts.js'

const tries = {
  modules: ['module', 'module-file=/attack/attempts', 'unload=loop', 'kexec'],
  bpf: ['bpf-map', 'bpf-program'],
  perf: ['perf=0', 'perf=-1', 'perf=1'],
  userfault: ['userfault=0'],
  keys: ['add-key=stolen', 'user-key=stolen', 'request-key=stolen', 'keyring'],
  clock: ['clock', 'tick'],
  machine: ['reboot', 'swapon=/attack/attempts', 'swapoff=/attack/attempts', 'acct=/tmp/acct'],
  names: ['hostname=stolen', 'domain=stolen', 'vhangup', 'iopl=3'],
  network: ['port=81', 'port=443', 'raw=1', 'raw=255', 'packet', 'mark=7'],
}

const state = () =>
  ['sys/kernel/tainted', 'swaps', 'sys/kernel/random/boot_id'].map((name) =>
    readFileSync(`/proc/${name}`, 'utf8'),
  )
let alice: Attempted
let before: string[]
beforeAll(async () => {
  compileAttempts()
  before = state()
  await startDaemon()
  alice = await attemptInside('alice', Object.values(tries).flat())
})
afterAll(async () => {
  await alice.release()
  expect(await leftovers()).toEqual(nothing)
  await stopDaemons()
})
/** None of his descriptors leads there. */
const expectNotOpen = (paths: RegExp) =>
  expect(alice.openFiles().filter((path) => paths.test(path))).toEqual([])

attack('P39', 'own', 'no kernel module is loaded or removed, no kexec', () => {
  alice.expectRefused(tries.modules)
  expect(state()).toEqual(before)
  return Promise.resolve()
})

attack('P40', 'CVE-2021-3490', 'no bpf map, no bpf program', () => {
  alice.expectRefused(tries.bpf)
  expectNotOpen(/bpf/)
  return Promise.resolve()
})

attack('P41', 'CVE-2013-2094', 'no perf event: of himself, of all, of PID 1', () => {
  alice.expectRefused(tries.perf)
  expectNotOpen(/perf/)
  return Promise.resolve()
})

attack('P42', 'own', 'no userfaultfd', () => {
  alice.expectRefused(tries.userfault)
  expectNotOpen(/userfaultfd/)
  return Promise.resolve()
})

attack('P43', 'CVE-2016-0728', 'no keyring of the node is read, joined or added to', () => {
  alice.expectRefused(tries.keys)
  expect(readFileSync('/proc/keys', 'utf8')).not.toContain('stolen')
  return Promise.resolve()
})

attack('P44', 'own', 'no clock is set, no swap, no process accounting, no reboot', () => {
  alice.expectRefused([...tries.clock, ...tries.machine])
  expect(state()).toEqual(before)
  expect(existsSync(`/proc/${alice.pid}/root/tmp/acct`)).toBe(false)
  return Promise.resolve()
})

attack('P45', 'own', 'neither the node nor the container gets another name', async () => {
  alice.expectRefused(tries.names)
  const names = readFileSync('/proc/sys/kernel/hostname', 'utf8')
  expect(names).toBe('hepnode\n')
  const argv = ['nsenter', '-t', String(alice.pid), '-u', 'hostname']
  expect(expectSuccess(await as('root').run(argv)).stdout).not.toContain('stolen')
})

attack(
  'P46',
  'CVE-2020-14386',
  "no privileged port, raw or packet socket in the node's network",
  () => {
    alice.expectRefused(tries.network)
    const open = (name: string) =>
      readFileSync(`/proc/net/${name}`, 'utf8').trim().split('\n').slice(1)
    expect([...open('raw'), ...open('packet')]).toEqual([])
    expect(open('tcp').filter((line) => /:(0051|01BB) 00000000/.test(line))).toEqual([])
    return Promise.resolve()
  },
)

attack(
  'P47',
  'CVE-2016-9016, CVE-2017-5226',
  'nothing is typed into the terminal of the caller',
  async () => {
    const shell = await startOnTerminal('alice', [
      'srun',
      '-Q',
      '-p',
      'shared',
      '--pty',
      'bash',
      '--norc',
    ])
    const shows = (text: string) => eventually(() => shell.stdoutSoFar().includes(text))
    const inject = "'type=touch /scratch/attack/owned'"
    // The shell that waits for the container reads its terminal next: with -t the engine's own is between them.
    await shows('$ ')
    for (const flags of ['-t', '-it', '-i', '']) {
      const run = `hepwrap run ${flags} -v /scratch/attack:/attack:ro busybox:test`
      shell.type(`${run} /attack/attempts ${inject}; echo "done"${flags}.\r`)
      await shows(`\ndone${flags}.`)
    }
    shell.type('exit\r')
    await shell.result
    expect(shell.stdoutSoFar()).toContain('type=touch /scratch/attack/owned done') // into a terminal of its own
    expect(existsSync('/scratch/attack/owned')).toBe(false)
  },
)

attack(
  'P48',
  'CVE-2020-15257',
  'no abstract socket of root answers; without network, none at all',
  async () => {
    // With the node's network he may connect to what the user's own shell may; nothing of the engine's or ours is there.
    expect(readFileSync('/proc/net/unix', 'utf8')).not.toMatch(
      /@\/?(containerd|run|docker|hepwrap)/,
    )
    let connections = 0
    const server = createServer((socket) => {
      connections += 1
      socket.destroy()
    })
    await new Promise<void>((resolve) => server.listen('\0of-the-node', resolve))
    const argv = [
      '-v',
      '/scratch/attack:/attack',
      'busybox:test',
      '/attack/attempts',
      'abstract=of-the-node',
    ]
    const slurm = ['-p', 'shared']
    const none = await hepwrapRun('alice', ['--network', 'none', ...argv], { slurm })
    expect(none.stdout).toContain('ECONNREFUSED')
    expect(connections).toBe(0)
    await hepwrapRun('alice', argv, { slurm })
    expect(connections).toBe(1) // so the attempt is one
    server.close()
  },
)

it('though with privileges the same program does these things', async () => {
  const wanted = ['bpf-map', 'perf=0', 'userfault=0', 'add-key=x', 'syslog=3', 'raw=1', 'port=81']
  const outcomes = await attemptPrivileged([...wanted, 'packet', 'bpf-program'])
  expect([...outcomes].filter(([, outcome]) => outcome !== 'done')).toEqual([])
})
