// A run belongs to the job in which its caller sits, and ends with it, wherever he and his processes go.
import { existsSync, readFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest'
import { holdRun } from '../slurm/held-run.js'
import { type Daemon, startDaemon, stopDaemons } from '../world/daemon.js'
import { eventually } from '../world/eventually.js'
import { cgroupsBelow, cgroupsOf, leftovers, nothing, processes } from '../world/traces.js'
import { as, expectSuccess, waitJob, waitState } from '../world/world.js'
import { attack } from './attack.js'
import { type Meeting, openMeeting, ownFile, slurmDirectories, startCaller } from './odd-callers.js'

const shared = ['srun', '-Q', '-p', 'shared']
let daemon: Daemon
let meeting: Meeting
let recorded = 0

beforeAll(async () => {
  daemon = await startDaemon({ config: { node: { stop_timeout_s: 1 } } })
})
beforeEach(() => {
  meeting = openMeeting()
  recorded = daemon.ledgerRows().length
})
afterEach(() => {
  meeting.close()
})
afterAll(async () => {
  expect(await leftovers()).toEqual(nothing)
  await stopDaemons()
  expect(daemon.logText()).not.toMatch(/"level":(50|60)/)
})

const newRows = () => daemon.ledgerRows().slice(recorded)
const closedRow = () =>
  eventually(() => newRows().find(({ state }) => state !== 'RUNNING'), { what: 'a closed record' })
const jobOf = (pid: number) => Number(/\/job_(\d+)/.exec(Object.values(cgroupsOf(pid)).join())?.[1])

/** Another job of alice's, and the cgroup directories of its step, some of which are hers on v1. */
async function startOther(): Promise<{ id: string; directories: string[] }> {
  const { id } = await as('alice').sbatch('sleep 70', ['-p', 'shared'])
  const inside = await eventually(() =>
    processes(/^sleep 70$/).find(({ pid }) => jobOf(pid) === Number(id)),
  )
  return { id, directories: slurmDirectories(inside.pid) }
}

/** What a user can do on v1: make a directory in one that is hers, and move her own processes there. */
async function moveHers(
  pids: readonly number[],
  { id, directories }: Awaited<ReturnType<typeof startOther>>,
): Promise<void> {
  const script = `for directory; do mkdir $directory/hers
    for file in cpuset.cpus cpuset.mems; do [ ! -e $directory/$file ] || cat $directory/$file >$directory/hers/$file; done
    for pid in ${pids.join(' ')}; do echo $pid >$directory/hers/cgroup.procs; done
    done`
  expectSuccess(await as('alice').run(['sh', '-c', script, 'sh', ...directories]))
  for (const pid of pids) expect(String(jobOf(pid))).toBe(id)
}

attack(
  'I12',
  'own',
  'she moves herself into another job of hers between connect and request: it is of the job where she sits',
  async () => {
    const other = await startOther()
    const request = meeting.request({ command: ['cat', '/proc/self/cgroup'] })
    const enter = other.directories.flatMap((path) => ['enter', path])
    const caller = startCaller('alice', [
      'connect',
      'say',
      meeting.upgrade,
      'hear',
      ...enter,
      'say',
      request,
      'listen',
    ])
    const row = await closedRow()
    const text = await caller.end()
    const inside = new Set(
      [...text.matchAll(/\/job_(\d+)\/step_\w+[^\n]*hepwrap-/g)].map(([, job]) => Number(job)),
    )
    // All of it in one job, and the record says which; on v2 she cannot move at all.
    expect([...inside]).toEqual(row['state'] === 'REFUSED' ? [] : [row['job_id']])
    expect([Number(other.id), ...inside]).toContain(row['job_id'])
    await as('alice').scancel(other.id)
    await waitJob(other.id)
    expect(cgroupsBelow(new RegExp(`/job_${other.id}(/|$)`))).toEqual([])
  },
)

attack(
  'I13',
  'own',
  'she moves half of herself, for the limits of one job and the name of another',
  async () => {
    const other = await startOther()
    for (const hierarchy of ['memory', 'devices', 'cpuacct', 'freezer', 'cpuset']) {
      const [directory] = other.directories.filter((path) =>
        path.startsWith(`/sys/fs/cgroup/${hierarchy}/`),
      )
      if (directory === undefined) continue
      const words = meeting.whole({ command: ['true'] })
      const caller = startCaller('alice', ['enter', directory, 'connect', 'say', words, 'listen'])
      await eventually(() => caller.stdoutSoFar().includes('closed'))
      const text = await caller.end()
      expect(text, hierarchy).toContain(text.startsWith('entered') ? 'HW_JOB_MISMATCH' : '"exit":0')
    }
    for (const row of newRows()) expect(String(row['job_id'])).not.toBe(other.id)
    await as('alice').scancel(other.id)
    await waitJob(other.id)
  },
)

attack(
  'I14',
  'own',
  'the client moves to another job once it runs: the container ends with the job that it belongs to',
  async () => {
    const other = await startOther()
    const run = await holdRun('alice', shared)
    const job = String(jobOf(run.payloadPid))
    const client = processes(/hepwrap\.c?js run -i/)[0]!
    await moveHers([client.pid], other)
    await as('alice').scancel(job)
    await waitJob(job)
    expect(existsSync(`/proc/${run.payloadPid}`)).toBe(false)
    expect(newRows()).toMatchObject([{ job_id: Number(job), state: 'CANCELLED' }])
    expect(cgroupsBelow(new RegExp(`/job_${job}(/|$)`))).toEqual([])
    await run.result
    await as('alice').scancel(other.id)
    await waitJob(other.id)
  },
)

attack(
  'I15',
  'own',
  'init and command are moved to another job by their owner: the end of their own job ends them',
  async () => {
    const other = await startOther()
    const run = await holdRun('alice', shared)
    const job = String(jobOf(run.payloadPid))
    await moveHers([run.initPid, run.payloadPid], other)
    await as('alice').scancel(job)
    await waitJob(job)
    expect(existsSync(`/proc/${run.payloadPid}`)).toBe(false)
    expect(await closedRow()).toMatchObject({ job_id: Number(job), state: 'CANCELLED' })
    await run.result
    await as('alice').scancel(other.id)
    await waitJob(other.id)
    expect(cgroupsBelow(new RegExp(`/job_(${job}|${other.id})(/|$)`))).toEqual([])
  },
)

attack(
  'I16',
  'Slurm pam_slurm_adopt',
  'a client that leaves session, process group and parent ends with its step',
  async () => {
    const script = `(setsid setsid -f hepwrap run busybox:test sleep 71 </dev/null >/dev/null 2>&1 &) &
    until pgrep -u $USER -f '^sleep 71$'; do sleep 0.05; done`
    expectSuccess(await as('alice').run([...shared, 'bash', '-c', script]))
    await closedRow()
    expect(processes(/^sleep 71$/)).toEqual([])
    expect(newRows()).toMatchObject([{ state: 'CANCELLED', step_id: '0' }])
  },
)

attack(
  'I17',
  'own',
  'a client stopped for ever, in a job that ends, and in a step whose task ends',
  async () => {
    const run = await holdRun('alice', shared)
    const client = processes(/hepwrap\.c?js run -i/)[0]!
    process.kill(client.pid, 'SIGSTOP')
    await as('alice').scancel(String(jobOf(run.payloadPid)))
    await run.result
    await closedRow()
    const script = `hepwrap run busybox:test sleep 72 & until pgrep -u $USER -f '^sleep 72$'; do sleep 0.05; done; kill -STOP $!`
    await as('alice').run([...shared, 'bash', '-c', script])
    await eventually(
      () => newRows().length === 2 && newRows().every(({ state }) => state === 'CANCELLED'),
    )
    expect(processes(/^sleep 72$/)).toEqual([])
  },
)

attack(
  'I18',
  'own',
  'HEPWRAP_SOCKET in the environment of a job does not lead its epilog to a daemon of hers',
  async () => {
    const path = meeting.path('socket')
    const code = `import socket, struct
s = socket.socket(socket.AF_UNIX); s.bind('${path}'); import os; os.chmod('${path}', 0o666); s.listen()
while True:
    peer, _ = s.accept()
    uid = int.from_bytes(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[4:8], 'little')
    print('visitor', uid, flush=True); peer.close()`.replace(', struct', '')
    const fake = as('bob').start(['python3', '-c', code])
    await eventually(() => existsSync(path))
    const script = `hepwrap run busybox:test true
    unset HEPWRAP_SOCKET
    hepwrap run busybox:test sleep 73 & until pgrep -u $USER -f '^sleep 73$'; do sleep 0.05; done; kill -STOP $!`
    const args = [
      '-p',
      'shared',
      `--export=ALL,HEPWRAP_SOCKET=${path},SPANK_HEPWRAP_SOCKET=${path}`,
    ]
    const { id } = await as('alice').sbatch(script, args)
    await waitJob(id)
    fake.kill('SIGKILL')
    await fake.result
    expect(fake.stdoutSoFar()).toBe('visitor 2001\n') // her own client went there, nobody else
    expect(await closedRow()).toMatchObject({ job_id: Number(id), state: 'CANCELLED' })
    expect(processes(/^sleep 73$/)).toEqual([])
  },
)

attack(
  'I19',
  'own',
  'a connection made in a job, kept outside of it and used when the job has ended',
  async () => {
    const request = meeting.request({ command: ['sleep', '74'] })
    const code = `import os, socket
s = socket.socket(socket.AF_UNIX); s.bind('${meeting.path('socket')}'); s.listen()
open('${meeting.path('listening')}', 'w')
fd = socket.recv_fds(s.accept()[0], 1, 1)[1][0]
d = socket.socket(fileno=fd); print('has it', flush=True)
while not os.path.exists('${meeting.path('ended')}'): pass
try: d.sendall(open('${request}', 'rb').read()); d.settimeout(8); print(d.recv(65536), d.recv(65536))
except OSError as error: print(error)`
    const keeper = as('alice').start(['python3', '-c', code])
    await eventually(() => existsSync(meeting.path('listening')))
    const give = `import socket
d = socket.socket(socket.AF_UNIX); d.connect('/run/hepwrap/hepwrapd.sock'); d.sendall(open('${meeting.upgrade}', 'rb').read())
m = socket.socket(socket.AF_UNIX); m.connect('${meeting.path('socket')}'); socket.send_fds(m, [b'x'], [d.fileno()])`
    expectSuccess(await as('alice').run([...shared, 'python3', '-c', give]))
    await eventually(() => keeper.stdoutSoFar().includes('has it'))
    ownFile(meeting.path('ended'), 2001)
    expect((await keeper.result).stdout).not.toContain('opened')
    expect(processes(/^sleep 74$/)).toEqual([])
    for (const row of newRows())
      expect(row).toMatchObject({ state: 'REFUSED', job_id: null, uid: 2001 })
  },
)

attack(
  'I20',
  'own',
  'facts of a job that a prolog has announced for another user are not hers to be charged to',
  async () => {
    const hold = as('alice').start([
      ...shared,
      'bash',
      '-c',
      'cat >/dev/null; hepwrap run busybox:test id -u',
    ])
    const pid = await eventually(
      () => processes(/bash -c cat >\/dev\/null; hepwrap/).find(({ pid }) => jobOf(pid) > 0)?.pid,
    )
    const job = String(jobOf(pid))
    const env = {
      SLURM_JOB_ID: job,
      SLURM_JOB_UID: '2002',
      SLURM_JOB_USER: 'bob',
      SLURM_JOB_ACCOUNT: 'rich',
    }
    expectSuccess(await as('root').run(['hepwrap', 'configure'], { env }))
    hold.child.stdin?.end()
    const { stdout } = await hold.result
    const row = await closedRow()
    expect(row).toMatchObject({ uid: 2001, user: 'alice', job_id: Number(job) })
    expect({ stdout, reason: row['reason'] }).toEqual({ stdout: '', reason: 'HW_JOB_MISMATCH' })
  },
)

attack(
  'I21',
  'own',
  'a job that was ended on this node is not begun again by its user',
  async () => {
    const { id } = await as('alice').sbatch('sleep 75; true', ['-p', 'shared'])
    await waitState(id, 'RUNNING')
    const pid = await eventually(() => processes(/^sleep 75$/)[0]?.pid)
    const directories = slurmDirectories(pid)
    expectSuccess(await as('root').run(['hepwrap', 'clean'], { env: { SLURM_JOB_ID: id } }))
    const words = meeting.whole({ command: ['true'] })
    const announce = ['env', `SLURM_JOB_ID=${id}`, 'SLURM_JOB_UID=2001', 'hepwrap', 'configure']
    expect((await as('alice').run(announce)).status).not.toBe(0)
    const enter = directories.flatMap((path) => ['enter', path])
    const caller = startCaller('alice', [...enter, 'connect', 'say', words, 'listen'], {
      inJob: false,
    })
    const row = await closedRow()
    await caller.end()
    expect(row).toMatchObject({ state: 'REFUSED', uid: 2001 })
    expect(['HW_JOB_ENDED', 'HW_OUTSIDE_JOB']).toContain(row['reason'])
    await as('alice').scancel(id)
    await waitJob(id)
    expect(readFileSync(daemon.configPath, 'utf8')).toContain('outside_jobs = "refuse"')
  },
)
