// Who calls is whom the kernel saw connect: no number used again, no descriptor passed on, no program executed since makes it another.
import { chmodSync, copyFileSync, existsSync, rmSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest'
import { statusField } from '../slurm/held-run.js'
import { attacker, bareRequest, runBytes } from '../slurm/raw-request.js'
import { type Daemon, startDaemon, stopDaemons } from '../world/daemon.js'
import { eventually } from '../world/eventually.js'
import { leftovers, nothing, processes } from '../world/traces.js'
import { as, expectSuccess } from '../world/world.js'
import { attack } from './attack.js'
import {
  type Meeting,
  openMeeting,
  type OddCaller,
  ownFile,
  recyclePid,
  said,
  slurmDirectories,
  startCaller,
} from './odd-callers.js'
import { startGiving, stopGiving } from './mount-attempts.js'

let daemon: Daemon
let meeting: Meeting
let logged = 0
let recorded = 0

beforeAll(async () => {
  daemon = await startDaemon()
})
beforeEach(() => {
  meeting = openMeeting()
  logged = daemon.log().length
  recorded = daemon.ledgerRows().length
})
afterEach(async () => {
  await daemon.kill('SIGCONT')
  meeting.close()
})
afterAll(async () => {
  expect(await leftovers()).toEqual(nothing)
  await stopDaemons()
  expect(daemon.logText()).not.toMatch(/"level":(50|60)/)
})

const newRows = () => daemon.ledgerRows().slice(recorded)
const UNKNOWN = 'HW_CALLER_UNKNOWN'

/** Alice's steps begin once the daemon stands still: she connects and goes on, and it looks afterwards (SIGCONT). */
async function startFrozen(steps: string[], options: { inJob?: boolean } = {}): Promise<OddCaller> {
  const [there, frozen] = [meeting.path('there'), meeting.path('frozen')]
  const caller = startCaller('alice', ['mark', there, 'await', frozen, ...steps], options)
  await meeting.pidOf('there')
  await daemon.kill('SIGSTOP')
  ownFile(frozen, 2001)
  return caller
}

attack(
  'I01',
  'CVE-2019-6133',
  'she connects, is gone, and her number is a process of root when the daemon looks',
  async () => {
    const words = meeting.whole({ command: ['id'] })
    const caller = await startFrozen([
      'connect',
      'say',
      words,
      'mark',
      meeting.path('who'),
      'leave',
      'listen',
    ])
    const pid = await meeting.pidOf('who')
    const endOther = await recyclePid(pid, ['sleep', '64'])
    await daemon.kill('SIGCONT')
    await eventually(() => said(daemon, UNKNOWN, logged).length > 0)
    expect(processes(/^sleep 64$/).map((process) => process.pid)).toEqual([pid])
    endOther()
    expect(await caller.end()).not.toContain('uid=')
    expect(newRows()).toEqual([])
  },
)

attack(
  'I02',
  'CVE-2019-6133',
  'from outside of jobs, with her number used again by a process of hers inside a job',
  async () => {
    const { id } = await as('alice').sbatch('sleep 65', ['-p', 'shared'])
    const inside = await eventually(() => processes(/^sleep 65$/)[0])
    const directories = slurmDirectories(inside.pid)
    const words = meeting.whole({ command: ['id'] })
    const steps = ['connect', 'say', words, 'mark', meeting.path('who'), 'leave', 'listen']
    const caller = await startFrozen(steps, { inJob: false })
    const pid = await meeting.pidOf('who')
    const adopt = directories.map((path) => `echo $$ >${path}/cgroup.procs`).join('\n')
    const login = 'exec setpriv --reuid 2001 --regid 2001 --init-groups sleep 66'
    const endOther = await recyclePid(pid, ['sh', '-c', `${adopt}\n${login}`])
    await eventually(() => processes(/^sleep 66$/).length === 1)
    await daemon.kill('SIGCONT')
    await eventually(() => said(daemon, UNKNOWN, logged).length > 0)
    endOther()
    expect(await caller.end()).not.toContain('uid=')
    expect(newRows()).toEqual([])
    await as('alice').scancel(id)
  },
)

attack(
  'I03',
  'CVE-2013-4288',
  'a set-user-ID program is executed between connect and the look of the daemon',
  async () => {
    const words = meeting.whole({ command: ['id'] })
    const caller = await startFrozen([
      'connect',
      'say',
      words,
      'mark',
      meeting.path('who'),
      'split',
      'su',
      '--',
      'listen',
    ])
    const pid = await meeting.pidOf('who')
    await eventually(() => statusField(pid, 'Uid') === '2001 0 0 0')
    await daemon.kill('SIGCONT')
    await eventually(() => said(daemon, UNKNOWN, logged).length > 0)
    expect(said(daemon, UNKNOWN, logged)[0]).toContain('is another user now')
    process.kill(pid, 'SIGKILL')
    expect(await caller.end()).not.toContain('uid=')
    expect(newRows()).toEqual([])
  },
)

attack(
  'I04',
  'CVE-2013-4288',
  'a set-user-ID program is executed after it, for the sake of the descriptors that it opens',
  async () => {
    const mounts = [0, 3, 4, 5].map((fd) => ({
      fd,
      source: '/x',
      target: `/m${fd}`,
      read_only: false,
      origin: 'user' as const,
    }))
    const request = meeting.request({ mounts, command: ['ls', '/m3'] })
    const caller = startCaller('alice', [
      ...[
        'connect',
        'say',
        meeting.upgrade,
        'hear',
        'mark',
        meeting.path('who'),
        'split',
        'su',
        '--',
      ],
      ...['await', meeting.path('go'), 'say', request, 'listen'],
    ])
    const pid = await meeting.pidOf('who')
    await eventually(() => statusField(pid, 'Uid') === '2001 0 0 0')
    expectSuccess(await as('alice').run(['touch', meeting.path('go')]))
    await eventually(() => newRows().some(({ state }) => state === 'REFUSED'))
    process.kill(pid, 'SIGKILL')
    expect(await caller.end()).toContain(UNKNOWN)
    expect(newRows()).toMatchObject([{ uid: 2001, reason: UNKNOWN }])
  },
)

attack(
  'I05',
  'own',
  'another group by sg between connect and request: the run has the ids of the connect',
  async () => {
    const request = meeting.request({ command: ['sh', '-c', 'id -g; umask'] })
    const caller = startCaller('alice', [
      ...['connect', 'say', meeting.upgrade, 'hear', 'mark', meeting.path('who')],
      ...['split', 'sg', 'atlas', '-c', 'exec sleep 67', '--'],
      ...['await', meeting.path('go'), 'say', request, 'listen'],
    ])
    await eventually(() => processes(/^sleep 67$/).length > 0)
    expectSuccess(await as('alice').run(['touch', meeting.path('go')]))
    await eventually(() => newRows().some(({ state }) => state !== 'RUNNING'))
    for (const { pid } of processes(/^sleep 67$/)) process.kill(pid, 'SIGKILL')
    await caller.end()
    for (const row of newRows()) expect(row).toMatchObject({ uid: 2001, gid: 2001 })
  },
)

attack(
  'I06',
  'own',
  'a connection made in one job and used by a process of another job is of the first',
  async () => {
    const path = meeting.path('socket')
    const words = runBytes(bareRequest({ command: ['cat', '/proc/self/cgroup'] }))
    const shared = [
      '-Q',
      '-p',
      'shared',
      'sh',
      '-c',
      'echo job $SLURM_JOB_ID; exec "$@"',
      'sh',
      'python3',
      attacker('hand-over'),
    ]
    const receiver = as('alice').startSrun([...shared, 'receive', '10', path])
    receiver.child.stdin?.end(words)
    await eventually(() => existsSync(path))
    const { stdout: givers } = expectSuccess(
      await as('alice').srun([...shared, 'friend', '10', path], { input: '' }),
    )
    const { stdout } = expectSuccess(await receiver.result)
    const [giver, user] = [givers, stdout].map((text) => Number(/job (\d+)/.exec(text)?.[1]))
    expect(giver).not.toBe(user)
    expect(newRows()).toMatchObject([{ job_id: giver, uid: 2001 }])
    expect(stdout).not.toContain(`/job_${user}/`)
  },
)

attack(
  'I07',
  'own',
  "a descriptor of hepwrapd's socket, passed into a container and connected there",
  async () => {
    const path = '/home/alice/socket-giver'
    const giver = await startGiving('alice', [path, daemon.socketPath])
    const words = meeting.whole({ command: ['id'] })
    const code = `import socket
meeting = socket.socket(socket.AF_UNIX); meeting.connect('${path}')
fd = socket.recv_fds(meeting, 1, 1)[1][0]
daemon = socket.socket(socket.AF_UNIX); daemon.connect('/proc/self/fd/%d' % fd)
print('connected', flush=True)
try:
    daemon.sendall(open('/words', 'rb').read())
    print(daemon.recv(65536))
except OSError as error: print(error)`
    const argv = [
      '-Q',
      '-p',
      'shared',
      'hepwrap',
      'run',
      '-v',
      `${words}:/words:ro`,
      'debian:test',
      'python3',
      '-c',
      code,
    ]
    const { stdout } = await as('alice').srun(argv)
    await stopGiving(giver)
    expect(stdout).toMatch(/^connected\n/)
    expect(stdout).not.toContain('101 Switching')
    expect(said(daemon, 'HW_CALLER_NAMESPACE', logged)).toHaveLength(1)
    expect(newRows()).toMatchObject([{ image: 'debian:test' }])
  },
)

attack(
  'I08',
  'own',
  'namespaces entered by exec between connect and the look of the daemon',
  async () => {
    const words = meeting.whole({ command: ['id'] })
    const unshare = ['unshare', '-Urm', 'sleep', '68']
    const caller = await startFrozen(['connect', 'say', words, 'split', ...unshare, '--', 'listen'])
    await eventually(() => processes(/^sleep 68$/).length === 1)
    await daemon.kill('SIGCONT')
    await eventually(() => said(daemon, 'HW_CALLER_NAMESPACE', logged).length > 0)
    process.kill(processes(/^sleep 68$/)[0]!.pid, 'SIGKILL')
    expect(await caller.end()).not.toContain('uid=')
    expect(newRows()).toEqual([])
  },
)

attack(
  'I09',
  'own',
  'namespaces entered after it, with a mount of theirs as the source',
  async () => {
    const mounts = [
      { fd: 9, source: '/mnt', target: '/m', read_only: false, origin: 'user' as const },
    ]
    const request = meeting.request({ mounts, command: ['ls', '-la', '/m'] })
    const script = `mount -t tmpfs hers /mnt && exec 9</mnt && touch ${meeting.path('go')} && exec sleep 69`
    const caller = startCaller('alice', [
      ...[
        'connect',
        'say',
        meeting.upgrade,
        'hear',
        'split',
        'unshare',
        '-Urm',
        'sh',
        '-c',
        script,
        '--',
      ],
      ...['await', meeting.path('go'), 'say', request, 'listen'],
    ])
    await eventually(() => newRows().some(({ state }) => state === 'REFUSED'))
    process.kill(processes(/^sleep 69$/)[0]!.pid, 'SIGKILL')
    await caller.end()
    expect(newRows()).toMatchObject([
      { uid: 2001, reason: expect.stringMatching(/^HW_(CALLER_UNKNOWN|MOUNT_REFUSED)$/) as string },
    ])
  },
)

attack('I10', 'own', 'a process name that reads like lines of /proc/PID/status', async () => {
  for (const name of [
    '\\nUid:\\t0\\t0\\t0\\t0',
    'x\\nGroups:\\t0 1',
    ') S 1 1 1 0 0',
    '\\nState:\\tZ',
  ]) {
    const words = meeting.whole({ command: ['id', '-u'] })
    const caller = startCaller('alice', ['name', name, 'connect', 'say', words, 'listen'])
    await eventually(() => caller.stdoutSoFar().includes('closed'))
    expect(await caller.end()).toMatch(/2001\n/)
  }
  expect(newRows()).toHaveLength(4)
  for (const row of newRows())
    expect(row).toMatchObject({ uid: 2001, gid: 2001, state: 'COMPLETED' })
})

attack(
  'I11',
  'own',
  "a program that she may execute but not read, whose descriptors are root's in /proc",
  async () => {
    const python = '/home/alice/unreadable'
    copyFileSync('/usr/bin/python3', python)
    chmodSync(python, 0o711)
    const mounts = [
      { fd: 3, source: '/x', target: '/m', read_only: false, origin: 'user' as const },
    ]
    const words = meeting.whole({ mounts, command: ['true'] })
    const argv = [
      '-Q',
      '-p',
      'shared',
      python,
      attacker('caller'),
      'connect',
      'say',
      words,
      'listen',
    ]
    const { stdout } = await as('alice').srun(argv)
    rmSync(python)
    expect(stdout).toContain(UNKNOWN)
    expect(newRows()).toMatchObject([{ uid: 2001, state: 'REFUSED', reason: UNKNOWN }])
  },
)
