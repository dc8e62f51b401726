// The core of the promises, in as few runs as show it: what `npm test` proves of cgroup v2 for each engine and driver in
// an emulated machine, where a run takes seconds. The whole suite has each of these at length.
import { afterAll, beforeAll, expect, it } from 'vitest'
import { holdRun } from '../slurm/held-run.js'
import { startRun } from '../slurm/job-runs.js'
import { type Daemon, startDaemon, stopDaemons } from '../world/daemon.js'
import { eventually } from '../world/eventually.js'
import {
  clientOf,
  closedRecord,
  expectNothingLeft,
  payloadsOf,
  recordOf,
  startStep,
} from '../world/runs.js'
import { cgroupsBelow, cgroupsNamed, complaints, logSince } from '../world/traces.js'
import { as, expectSuccess } from '../world/world.js'

const MIB = 1024 ** 2
const MOST_PIDS = 40
const alice = as('alice')
let daemon: Daemon
let slurmdLog: () => string[]
let treeBefore: string[]

beforeAll(async () => {
  const policy = { ceilings: { pids: MOST_PIDS }, devices: ['/dev/hepgpu*'] }
  daemon = await startDaemon({ config: { policy } })
  // What Slurm, the engine and its first container make once stays.
  expectSuccess(await alice.srun(['-Q', 'hepwrap', 'run', 'busybox:test', 'true']))
  await noJobs()
  slurmdLog = logSince('slurmd-n1')
  treeBefore = cgroupsNamed(/./)
})
afterAll(stopDaemons)

it('identity, privileges, place and processors are the job’s', async () => {
  const own = 'id -u; id -g; id -G; umask; nproc; grep Cpus_allowed_list /proc/self/status'
  const place = 'grep ^0:: /proc/self/cgroup'
  const privileges = 'grep -E "^(Cap|NoNewPrivs|Seccomp:)" /proc/self/status'
  const script = `umask 0027; (${own}); ${place}; echo --; hepwrap run debian:test sh -c '${own}; ${place}; ${privileges}'`
  const { stdout } = expectSuccess(await alice.srun(['-Q', '-n1', 'bash', '-c', script]))
  const [caller, inside] = stdout.split('--\n').map((part) => part.trim().split('\n'))
  expect(inside!.slice(0, 6)).toEqual(caller!.slice(0, 6))
  expect(caller!.slice(0, 5)).toEqual(['2001', '2001', '2001 3000', '0027', '1'])
  expect(caller![6]).toMatch(/^0::\/system\.slice\/.*\/job_\d+\/step_0\/user\/task_0$/)
  expect(inside![6]).toMatch(/\/hepwrap-[0-9a-f]{32}$/)
  expect(inside![6]!.startsWith(`${caller![6]!}/`)).toBe(true)
  expect(inside!.slice(7).join('\n')).toBe(
    [...['Inh', 'Prm', 'Eff', 'Bnd', 'Amb'].map((set) => `Cap${set}:\t0000000000000000`)]
      .concat('NoNewPrivs:\t1', 'Seccomp:\t2')
      .join('\n'),
  )
})

it('the memory limit of the job ends the container alone, and the next run in the task is told nothing of it', async () => {
  const script = `hepwrap run --name greedy debian:test python3 -c 'x = bytearray(300 << 20)'; echo "status $?"
    hepwrap run --name modest busybox:test echo next`
  const { stdout } = await alice.srun(['-Q', '--mem=100', 'sh', '-c', script])
  expect(stdout).toBe('status 137\nnext\n')
  expect(await closedRecord(daemon, 'greedy')).toMatchObject({
    state: 'OUT_OF_MEMORY',
    reason: 'HW_OOM_KILLED',
    exit_code: 137,
    oom_kills: 1,
    memory_limit_bytes: 100 * MIB,
  })
  expect(await closedRecord(daemon, 'modest')).toMatchObject({ state: 'COMPLETED', oom_kills: 0 })
})

it('a job opens its own devices in a container, and tries the others in vain from the first instant', async () => {
  // Eight at once, each as fast as it can: the first one that opens a device writes it down.
  const race = `for n in 1 2 3 4 5 6 7 8; do
      (for i in $(seq 60); do for d in 0 1; do (exec 3</dev/hepgpu$d) 2>/dev/null && echo $d; done; done) &
    done; wait`
  const named = ['--device', '/dev/hepgpu0', '--device', '/dev/hepgpu1']
  const run = ['hepwrap', 'run', ...named, 'busybox:test', 'sh', '-c', race]
  const opened = async (gres: string[]) =>
    new Set(
      expectSuccess(await alice.srun(['-Q', ...gres, ...run]))
        .stdout.split('\n')
        .filter(Boolean),
    )
  expect([...(await opened([]))]).toEqual([])
  expect([...(await opened(['--gres=gpu:1']))]).toEqual(['0'])
})

it('counts what the container used, and so does Slurm', async () => {
  const program = `import os, sys, time
block = bytearray(100 << 20)
for at in range(0, len(block), 4096): block[at] = 1
while time.process_time() < 3: pass
print(time.process_time(), flush=True)
sys.stdin.read()`
  const args = ['--name', 'counted', '-i', 'debian:test', 'python3', '-c', program]
  const run = startRun('alice', args)
  await eventually(() => run.stdoutSoFar().includes('\n'), { timeoutMs: 30_000 })
  const seconds = Number(run.stdoutSoFar())
  const step = `${Number(recordOf(daemon, 'counted')['job_id'])}.0`
  const seen = await eventually(async () => {
    const argv = ['sstat', '-n', '-P', '-j', step, '--format=AveCPU,MaxRSS']
    const { stdout } = expectSuccess(await alice.run(argv))
    const [, cpu, kibibytes] = /^\d\d:\d\d:(\d\d)\|(\d+)K$/.exec(stdout.trim()) ?? []
    return Number(cpu) >= 3 ? Number(kibibytes) : undefined
  })
  expect(seen).toBeGreaterThan(100 * 1024)
  run.child.stdin?.end()
  expectSuccess(await run.result)
  const record = await closedRecord(daemon, 'counted')
  const used = (Number(record['cpu_user_usec']) + Number(record['cpu_system_usec'])) / 1e6
  expect(used).toBeGreaterThan(seconds * 0.98)
  // The payload does not see what starting and ending the interpreter cost: emulated, a good part of a second.
  expect(used).toBeLessThan(seconds * 1.02 + 1)
  expect(Number(record['memory_peak_bytes'])).toBeGreaterThan(100 * MIB)
  expect(Number(record['memory_peak_bytes'])).toBeLessThan(125 * MIB)
})

it('scancel ends a payload that ignores signals and forks as fast as it can', async () => {
  const bomb = `import os, signal
for number in (1, 2, 15): signal.signal(number, signal.SIG_IGN)
while True:
    try: os.fork()
    except OSError: pass`
  const step = startStep('alice', `hepwrap run --name bomb debian:test python3 -c '${bomb}'; hold`)
  await eventually(() => payloadsOf(daemon, 'bomb').length > 30)
  expect(payloadsOf(daemon, 'bomb').length).toBeLessThan(MOST_PIDS)
  await alice.scancel(String(recordOf(daemon, 'bomb')['job_id']))
  expect(await closedRecord(daemon, 'bomb')).toMatchObject({ state: 'CANCELLED', signal: 9 })
  await step.result
  await expectNothingLeft()
})

it('a client that is killed takes its container along', async () => {
  const step = startStep('alice', 'hepwrap run --name orphan busybox:test sleep 975; hold')
  await eventually(() => payloadsOf(daemon, 'orphan').length > 0)
  process.kill((await clientOf('orphan')).pid, 'SIGKILL')
  expect(await closedRecord(daemon, 'orphan')).toMatchObject({
    state: 'CANCELLED',
    reason: 'HW_CLIENT_GONE',
  })
  await expectNothingLeft('^sleep 975$')
  step.child.stdin?.end()
  await step.result
})

it('a daemon that is killed leaves nothing to the next, and no record open', async () => {
  const run = await holdRun('alice', ['srun', '-Q'], ['--name', 'interrupted'])
  await daemon.kill('SIGKILL')
  await daemon.restart()
  expect(await closedRecord(daemon, 'interrupted')).toMatchObject({
    state: 'NODE_FAIL',
    reason: 'HW_DAEMON_RESTARTED',
  })
  expect((await run.result).status).toBe(125)
  await expectNothingLeft()
})

it('nothing of any job is left in the tree, and slurmd has no complaint', async () => {
  await noJobs()
  await eventually(() => cgroupsBelow(/\/job_\d+/).length === 0)
  const added = () => cgroupsNamed(/./).filter((path) => !treeBefore.includes(path))
  await eventually(() => added().length === 0).catch(() => expect(added()).toEqual([]))
  // One job of these was to run out of memory.
  expect(complaints(slurmdLog()).filter((line) => !/oom/i.test(line))).toEqual([])
})

async function noJobs(): Promise<void> {
  await eventually(async () => (await as('root').run(['squeue', '-h'])).stdout === '')
}
