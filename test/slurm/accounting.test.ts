// The record of each run: complete however it ends, true to what the run used, one's own alone.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { UsageRecord } from '../../src/wire/usage-api.js'
import { testEngine } from '../world/engine.js'
import { type Daemon, startDaemon, stopDaemons } from '../world/daemon.js'
import { eventually } from '../world/eventually.js'
import { clientOf } from '../world/runs.js'
import { leftovers, nothing } from '../world/traces.js'
import {
  as,
  expectSuccess,
  expireJob,
  type Submitted,
  type User,
  waitJob,
  waitState,
} from '../world/world.js'
import {
  complaint,
  hepwrap,
  hepwrapRun,
  hepwrapRuns,
  recordNamed,
  records,
  startRun,
} from './job-runs.js'

/** The contract's words, in its order. */
const FIELDS = `id cluster node job_id array_job_id array_task_id het_offset restart_count step_id
  task user uid group gid account partition image image_id image_digest command name labels engine
  engine_version state reason exit_code signal oom_kills created_at started_at ended_at pull_ms
  setup_ms cpu_user_usec cpu_system_usec memory_peak_bytes io_read_bytes io_write_bytes pids_peak
  cpus memory_limit_bytes gres rule`.split(/\s+/)

const MIB = 1024 ** 2
const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

let daemon: Daemon
let expiring: Submitted
const beganAtMs = Date.now()

beforeAll(async () => {
  daemon = await startDaemon()
  makeDisk()
  expiring = await startExpiring()
})
afterAll(async () => {
  await stopDaemons()
  execFileSync('umount', ['/srv/disk'])
})

/** Everything that a record of a run of alice's says, apart from what the test tells. */
function expectComplete(record: UsageRecord, told: Partial<UsageRecord>): void {
  expect(Object.keys(record)).toEqual(FIELDS)
  expect(record).toMatchObject({
    cluster: 'hepp',
    node: 'n1',
    step_id: '0',
    task: 0,
    user: 'alice',
    uid: 2001,
    group: 'alice',
    gid: 2001,
    account: null, // the job has none, and of arrays Slurm 22.05 tells its prolog nothing
    restart_count: 0,
    array_job_id: null,
    array_task_id: null,
    het_offset: null,
    partition: 'shared',
    image: 'busybox:test',
    image_digest: null, // a local image has none
    labels: { test: 'accounting' },
    pull_ms: null,
    cpus: 1,
    memory_limit_bytes: 200 * MIB,
    gres: null,
    rule: null,
    ...told,
  })
  expect(record.id).toMatch(/^[0-9a-f]{32}$/)
  expect(record.job_id).toBeGreaterThan(0)
  expectTimes(record)
  if (record.started_at === null) expectNothingUsed(record)
  else expectUsage(record)
}

function expectTimes({ created_at, started_at, ended_at }: UsageRecord): void {
  const times = [created_at, started_at, ended_at].filter((time) => time !== null)
  for (const time of times) expect(time).toMatch(RFC3339)
  const epochs = times.map((time) => Date.parse(time))
  expect(epochs).toEqual([...epochs].sort((a, b) => a - b))
  expect(epochs[0]).toBeGreaterThanOrEqual(beganAtMs)
  expect(epochs.at(-1)).toBeLessThanOrEqual(Date.now())
  expect(ended_at).not.toBeNull()
}

function expectUsage(record: UsageRecord): void {
  expect(record.image_id).toMatch(/^sha256:[0-9a-f]{64}$/)
  expect(record.engine).toBe(testEngine.name)
  expect(record.engine_version).toMatch(/^\d+\.\d+/)
  const between = Date.parse(record.started_at!) - Date.parse(record.created_at)
  expect(Math.abs(record.setup_ms! - between)).toBeLessThan(20)
  expect(record.cpu_user_usec! + record.cpu_system_usec!).toBeGreaterThan(0)
  expect(record.memory_peak_bytes).toBeGreaterThan(100_000)
  expect(record.memory_peak_bytes).toBeLessThanOrEqual(record.memory_limit_bytes!)
  expect(record.pids_peak).toBeGreaterThanOrEqual(2)
  expect(record.io_read_bytes).toBeGreaterThanOrEqual(0)
  expect(record.io_write_bytes).toBeGreaterThanOrEqual(0)
  expect(record.oom_kills).toBeGreaterThanOrEqual(0)
}

/** Absent is null, never 0. */
function expectNothingUsed(record: UsageRecord): void {
  const absent = FIELDS.filter((field) =>
    /^(image_id|engine|pull|setup|cpu_|memory_peak|io_|pids|oom)/.test(field),
  )
  for (const field of absent) expect(record[field as keyof UsageRecord], field).toBeNull()
}

const labelled = (name: string, ...command: string[]) => [
  ...['--name', name, '--label', 'test=accounting', 'busybox:test'],
  ...command,
]
// Beside the job that waits for its time limit.
const shared = ['-p', 'shared']
const runNamed = (name: string, ...command: string[]) =>
  hepwrapRun('alice', labelled(name, ...command), { slurm: shared })
const runEach = (argLists: string[][], user: User = 'alice') =>
  hepwrapRuns(user, argLists, { slurm: shared })
const ended = (name: string) => recordNamed(name, /^(?!RUNNING)/)

describe('the record', () => {
  it('ACCEPTANCE 31: of a success', async () => {
    await runNamed('good', 'echo', 'a b', "it's")
    expectComplete(await ended('good'), {
      name: 'good',
      command: "echo 'a b' 'it'\\''s'",
      state: 'COMPLETED',
      reason: null,
      exit_code: 0,
      signal: null,
      oom_kills: 0,
    })
  })

  it('ACCEPTANCE 31: of a failure by status, by signal, and of a command that is not there', async () => {
    await runEach([
      labelled('bad', 'sh', '-c', 'exit 37'),
      labelled('signaled', 'sh', '-c', 'kill -SEGV $$'),
      labelled('typo', 'no-such-command'),
    ])
    const failed = { state: 'FAILED', oom_kills: 0 } as const
    expectComplete(await ended('bad'), { ...failed, reason: null, exit_code: 37, signal: null })
    const signaled = { reason: 'HW_SIGNALED', exit_code: 139, signal: 11 }
    expectComplete(await ended('signaled'), { ...failed, ...signaled })
    const typo = { reason: 'HW_COMMAND_NOT_FOUND', exit_code: 127, signal: null }
    expectComplete(await ended('typo'), { ...failed, ...typo, command: 'no-such-command' })
  })

  it('ACCEPTANCE 31: of a refusal', async () => {
    await runEach([['--privileged', ...labelled('denied', 'id')]])
    expectComplete(await ended('denied'), {
      name: 'denied',
      command: 'id',
      state: 'REFUSED',
      reason: 'HW_OPTION_FORBIDDEN',
      exit_code: 125,
      signal: null,
      started_at: null,
    })
  })

  it('ACCEPTANCE 31: of a run out of memory', async () => {
    const result = await runNamed(
      'greedy',
      'dd',
      'if=/dev/zero',
      'of=/dev/null',
      'bs=300M',
      'count=1',
    )
    expect(result.status).not.toBe(0)
    const record = await ended('greedy')
    expectComplete(record, {
      state: 'OUT_OF_MEMORY',
      reason: 'HW_OOM_KILLED',
      exit_code: 137,
      signal: 9,
      oom_kills: 1,
    })
    expect(record.memory_peak_bytes).toBeGreaterThan(190 * MIB)
  })

  it('ACCEPTANCE 31: of a cancelled job, an array task with a gres among them', async () => {
    const line = `exec hepwrap run ${labelled('cancelled', 'sleep', '300').join(' ')}`
    const { id } = await as('alice').sbatch(line, [...shared, '--array=7', '--gres=gpu:1'])
    await recordNamed('cancelled')
    await eventually(async () => (await recordNamed('cancelled')).started_at !== null)
    await as('alice').scancel('--full', '--signal=TERM', `${id}_7`)
    const record = await ended('cancelled')
    expectComplete(record, {
      step_id: 'batch',
      gres: 'gpu:0',
      state: 'CANCELLED',
      reason: 'HW_SIGNALED',
      exit_code: 143,
      signal: 15,
    })
    await waitJob(String(record.job_id))
  })

  it('ACCEPTANCE 31: of a client that was killed', async () => {
    const line = `hepwrap run ${labelled('orphaned', 'sleep', '300').join(' ')}; cat`
    const step = as('alice').startSrun(['-Q', ...shared, 'sh', '-c', line])
    await eventually(async () => (await recordNamed('orphaned')).started_at !== null)
    process.kill((await clientOf('orphaned')).pid, 'SIGKILL')
    expectComplete(await ended('orphaned'), {
      state: 'CANCELLED',
      reason: 'HW_CLIENT_GONE',
      exit_code: 143,
      signal: 15,
    })
    step.child.stdin?.end()
    await step.result
  })
})

describe('what a run used', () => {
  const python = (name: string, program: string) =>
    hepwrapRun('alice', ['--name', name, 'debian:test', 'python3', '-c', program], {
      slurm: shared,
    })

  it('ACCEPTANCE 32: cpu time, of one process', async () => {
    const { stdout } = await python('spin', `${SPIN}\nprint(spin(1.2))`)
    expectCpu(await ended('spin'), Number(stdout))
  })

  it('ACCEPTANCE 32: cpu time, of many processes and of what they had the kernel do', async () => {
    const program = `${SPIN}
import os, sys
for n in range(4):
    if os.fork() == 0:
        print(spin(0.3, os.getppid) if n % 2 else spin(0.3), flush=True)
        os._exit(0)
for n in range(4): os.wait()
print(time.process_time())`
    const { stdout } = await python('spins', program)
    const own = stdout.trim().split('\n').map(Number)
    expect(own).toHaveLength(5)
    const record = await ended('spins')
    expectCpu(
      record,
      own.reduce((sum, seconds) => sum + seconds),
    )
    expect(record.cpu_system_usec).toBeGreaterThan(50_000)
    expect(record.pids_peak).toBe(6)
  })

  it('ACCEPTANCE 32: the peak of its memory, released or not, tmpfs included', async () => {
    await runEach([
      labelled('peak', 'sh', '-c', 'dd if=/dev/zero of=/dev/null bs=128M count=1; sleep 0.1'),
      labelled('shm', 'dd', 'if=/dev/zero', 'of=/dev/shm/x', 'bs=1M', 'count=60'),
    ])
    const within5Percent = (bytes: number | null, expected: number) => {
      expect(bytes).toBeGreaterThan(expected * 0.95)
      expect(bytes).toBeLessThan(expected * 1.05)
    }
    within5Percent((await ended('peak')).memory_peak_bytes, 128 * MIB)
    within5Percent((await ended('shm')).memory_peak_bytes, 61 * MIB)
  })

  it('ACCEPTANCE 32: bytes written to and read from a disk', async () => {
    const mount = ['-v', '/srv/disk/alice:/disk', 'debian:test', 'dd', 'bs=1M', 'count=24']
    const [wrote, read] = await runEach([
      ['--name', 'writes', ...mount, 'if=/dev/zero', 'of=/disk/x', 'oflag=direct'],
      ['--name', 'reads', ...mount, 'if=/disk/x', 'of=/dev/null', 'iflag=direct'],
    ])
    expect([wrote!.status, read!.status], wrote!.stderr + read!.stderr).toEqual([0, 0])
    const writes = await ended('writes')
    const reads = await ended('reads')
    for (const bytes of [writes.io_write_bytes, reads.io_read_bytes]) {
      expect(bytes).toBeGreaterThanOrEqual(24 * MIB)
      expect(bytes).toBeLessThan(24.5 * MIB) // the file system's own blocks
    }
    expect(reads.io_write_bytes).toBeLessThan(MIB)
    expect(writes.io_read_bytes).toBeLessThan(MIB)
  })

  it("ACCEPTANCE 33: is in Slurm's own accounting of the step, cpu and memory", async () => {
    const program = `${SPIN}
import sys
block = bytearray(120 * 1024 * 1024)
for at in range(0, len(block), 4096): block[at] = 1
spin(1.5)
print('ready', flush=True)
sys.stdin.read()`
    const args = ['--name', 'watched', '-i', 'debian:test', 'python3', '-c', program]
    const run = startRun('alice', args)
    await eventually(() => run.stdoutSoFar().includes('ready'))
    const { job_id } = await recordNamed('watched')
    const seen = await eventually(
      async () => {
        const format = '--format=AveCPU,MaxRSS'
        const argv = ['sstat', '-n', '-P', '-j', `${job_id!}.0`, format]
        const { stdout } = expectSuccess(await as('alice').run(argv))
        const [, cpu, kibibytes] = /^\d\d:\d\d:(\d\d)\|(\d+)K$/.exec(stdout.trim()) ?? []
        return Number(cpu) >= 1 ? { cpu: Number(cpu), kibibytes: Number(kibibytes) } : undefined
      },
      { what: 'sstat to see the container' },
    )
    expect(seen.kibibytes).toBeGreaterThan(120 * 1024)
    expect(seen.kibibytes).toBeLessThan(200 * 1024)
    expect(seen.cpu).toBeLessThanOrEqual(3)
    run.child.stdin?.end()
    expect((await run.result).status).toBe(0)
  })
})

describe('hepwrap acct', () => {
  const hostile = [
    '=cmd|"/C calc"!A0',
    '+1-1@SUM(1)',
    'two\nlines\r\n',
    'quote " and , comma | bar \\ back',
    "it's \u001b[31mred\u001b]0;title\u0007",
    '\u202eright to left\u2028',
    'Zürich 東京',
  ]
  const labels = Object.fromEntries(hostile.map((text, index) => [`l${index}`, text]))

  beforeAll(async () => {
    const flags = Object.entries(labels).flatMap(([key, text]) => ['--label', `${key}=${text}`])
    const bobs = [
      ['--name', 'hostile', ...flags, 'busybox:test', 'echo', ...hostile],
      ['--name', 'plain', 'busybox:test', 'true'],
      ['=cmd|"x"\n,\u001b[2J', 'true'],
    ]
    await runEach(bobs, 'bob')
  })

  it('ACCEPTANCE 35: shows a user his own records, and root all', async () => {
    const users = async (user: 'alice' | 'bob' | 'root', ...args: string[]) =>
      [...new Set((await records(user, ...args)).map(({ uid }) => uid))].sort()
    expect(await users('alice')).toEqual([2001])
    expect(await users('bob')).toEqual([2002])
    expect(await users('root')).toEqual([2001, 2002])
    const [foreign] = await records('alice')
    for (const args of [
      ['--user', 'alice'],
      ['--user', '2001'],
      ['--job', String(foreign!.job_id)],
      ['--image', '*'],
      ['--since', '2000-01-01'],
    ])
      expect(
        (await records('bob', ...args)).filter(({ uid }) => uid !== 2002),
        args.join(' '),
      ).toEqual([])
    expect(await records('bob', '--user', 'alice')).toEqual([])
    expect(await users('root', '--user', 'alice')).toEqual([2001])
  })

  it('ACCEPTANCE 35: lets nobody change one', async () => {
    const before = await records('root')
    const [own] = await records('bob')
    const script = `
      const send = ([method, path, body]) => new Promise((done) => {
        const headers = { 'content-type': 'application/json' }
        const request = require('http').request({ socketPath: '/run/hepwrap/hepwrapd.sock', method, path, headers }, (reply) => {
          reply.resume().on('end', () => done(reply.statusCode))
        })
        request.end(body)
      })
      const all = JSON.parse(process.argv[1])
      ;(async () => { for (const one of all) console.log(await send(one)) })()`
    const change = JSON.stringify({ ...own, cpu_user_usec: 0, state: 'COMPLETED' })
    const attempts = ['POST', 'PUT', 'PATCH', 'DELETE'].flatMap((method) => [
      [method, '/v1/records', change],
      [method, `/v1/records/${own!.id}`, change],
    ])
    const { stdout } = await as('bob').run(['node', '-e', script, JSON.stringify(attempts)])
    const statuses = stdout.trim().split('\n')
    expect(statuses).toHaveLength(attempts.length)
    for (const status of statuses) expect(status).toMatch(/^40[045]$/)
    const ledger = `${daemon.stateDirectory}/ledger.db`
    for (const path of [ledger, `${ledger}-wal`, daemon.stateDirectory]) {
      const { status } = await as('bob').run(['sh', '-c', `test -r ${path} || test -w ${path}`])
      expect(status, path).not.toBe(0)
    }
    expect(statSync(daemon.stateDirectory).mode & 0o777).toBe(0o700)
    expect(await records('root')).toEqual(before)
  })

  it('writes each format so that a program can read back every byte', async () => {
    const own = await records('bob')
    expect(own.map(({ name }) => name)).toEqual(['hostile', 'plain', null])
    expect(own[0]!.labels).toEqual(labels)
    const raw = async (format: string) =>
      expectSuccess(await hepwrap('bob', ['acct', '--format', format])).stdout
    const csv = parseCsv(await raw('csv'))
    expect(csv[0]).toEqual(FIELDS)
    const parsable = (await raw('parsable')).trimEnd().split('\n').map(splitParsable)
    expect(parsable[0]).toEqual(FIELDS)
    for (const [index, record] of own.entries()) {
      const expected = FIELDS.map((field) => {
        const value = record[field as keyof UsageRecord]
        return value === null
          ? ''
          : typeof value === 'object'
            ? JSON.stringify(value)
            : String(value)
      })
      expect(csv[index + 1]!.map(unescapeControls)).toEqual(expected.map(unescapeControls))
      expect(parsable[index + 1]!.map(unescapeControls)).toEqual(expected.map(unescapeControls))
    }
  })

  it('sends nothing to a terminal that steers it, and one line a record', async () => {
    for (const format of ['table', 'csv', 'parsable', 'json']) {
      const { stdout } = expectSuccess(await hepwrap('bob', ['acct', '--format', format]))
      expect(stdout, format).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u202e]/)
      const lines = stdout.trimEnd().split('\n')
      expect(lines, format).toHaveLength(format === 'json' ? 3 + 2 : 3 + 1)
    }
    const table = expectSuccess(await hepwrap('bob', ['acct'])).stdout.split('\n')
    expect(table[0]).toMatch(/^ID +JobID +User +Account +Node +Image +State +ExitCode/)
    expect(table[2]).toMatch(/^[0-9a-f]{12} \d+\.0 +bob +n1 +busybox:test +COMPLETED +0:0 /)
  })

  it('filters by job, user, state, time and image', async () => {
    const names = async (...args: string[]) =>
      (await records('bob', ...args)).map(({ name }) => name)
    const all = ['hostile', 'plain', null]
    const [{ job_id: job, created_at: created }] = (await records('bob')) as [UsageRecord]
    expect(await names('--job', String(job))).toEqual(all)
    expect(await names('-j', `${job!},999999`)).toEqual(all)
    expect(await names('-j', '999999')).toEqual([])
    expect(await names('--state', 'completed')).toEqual(['hostile', 'plain'])
    expect(await names('-s', 'CD')).toEqual(['hostile', 'plain'])
    expect(await names('-s', 'REFUSED')).toEqual([null])
    expect(await names('--image', 'busy*:test')).toEqual(['hostile', 'plain'])
    expect(await names('--image', 'busybox')).toEqual([])
    expect(await names('--image', '*[*')).toEqual([null])
    expect(await names('--since', 'now-1hour')).toEqual(all)
    expect(await names('--since', 'now+1hour')).toEqual([])
    expect(await names('--until', 'now-1hour')).toEqual([])
    expect(await names('--until', created)).toEqual(['hostile'])
    expect(await names('--until', '2000-01-31')).toEqual([])
    for (const args of [
      ['--job', 'x'],
      ['--job', ''],
      ['--since', 'yesterdayish'],
      ['--since', '2026-02-30'],
      ['--state', 'NOPE'],
      ['--format', 'xml'],
      ['--user', ''],
      ['extra'],
    ]) {
      const result = await hepwrap('bob', ['acct', ...args])
      expect(result, args.join(' ')).toMatchObject({ status: 1, stdout: '' })
      expect(complaint(result)).toMatch(/\(HW_(OPTION_INVALID|USAGE)\)$/)
    }
    expect(await records('bob', '--image', "'; DROP TABLE records; --")).toEqual([])
    expect(await names()).toEqual(all)
  })
})

describe('the record, of ends that others bring', () => {
  it('ACCEPTANCE 31: of a time limit', async () => {
    await waitJob(expiring.id, 50_000)
    const record = await ended('expired')
    expectComplete(record, {
      job_id: Number(expiring.id),
      step_id: 'batch',
      account: 'higgs', // as a later Slurm tells its prolog
      array_job_id: 40,
      array_task_id: 7,
      het_offset: 1,
      state: 'TIMEOUT',
      reason: 'HW_TIME_LIMIT',
      exit_code: 143,
      signal: 15,
    })
  })

  it('ACCEPTANCE 31: of a daemon that was killed', async () => {
    const run = startRun('alice', labelled('lost', 'sleep', '300'))
    await eventually(async () => (await recordNamed('lost')).started_at !== null)
    await daemon.kill()
    expect((await run.result).status).toBe(125)
    expect(complaint(await run.result)).toContain('(HW_DAEMON_LOST)')
    await daemon.restart()
    const record = await ended('lost')
    expectComplete(record, {
      state: 'NODE_FAIL',
      reason: 'HW_DAEMON_RESTARTED',
      exit_code: 125,
      signal: null,
    })
    expect(await leftovers()).toEqual(nothing)
  })
})

// process_time: user and system time of this process, to the nanosecond.
const SPIN = `
import time
def spin(seconds, work=lambda: None):
    while time.process_time() < seconds: work()
    return time.process_time()`

/** Within 2 % or 20 ms of what the payload itself measured. */
function expectCpu({ cpu_user_usec, cpu_system_usec }: UsageRecord, measuredSeconds: number): void {
  const seconds = (cpu_user_usec! + cpu_system_usec!) / 1e6
  expect(measuredSeconds).toBeGreaterThan(1)
  expect(Math.abs(seconds - measuredSeconds)).toBeLessThan(Math.max(0.02, measuredSeconds * 0.02))
}

/** A job that reaches its time limit, announced with all that a prolog of a later Slurm is told. */
async function startExpiring(): Promise<Submitted> {
  const line = `hepwrap run ${labelled('expired', 'sleep', '300').join(' ')}`
  const script = `touch /tmp/begun; while [ ! -e /tmp/announced ]; do sleep 0.05; done; exec ${line}`
  const job = await as('alice').sbatch(script, ['-p', 'shared'])
  await waitState(job.id, 'RUNNING')
  // The node's own prolog has spoken once the script runs; what is announced here comes after it.
  await eventually(() => existsSync('/tmp/begun'))
  const env = {
    SLURM_JOB_ID: job.id,
    SLURM_JOB_UID: '2001',
    SLURM_JOB_USER: 'alice',
    SLURM_JOB_ACCOUNT: 'higgs',
    SLURM_JOB_PARTITION: 'shared',
    SLURM_ARRAY_JOB_ID: '40',
    SLURM_ARRAY_TASK_ID: '7',
    SLURM_HET_JOB_OFFSET: '1',
    SLURM_JOB_RESTART_COUNT: '0',
    SLURM_JOB_END_TIME: String(Math.floor(Date.now() / 1000) + 1),
  }
  expectSuccess(await hepwrap('root', ['configure'], { env }))
  writeFileSync('/tmp/announced', '')
  await eventually(async () => (await recordNamed('expired')).started_at !== null)
  await expireJob(job.id)
  return job
}

/** A file system on a block device of the world's own, whose bytes the kernel counts (see cgroup/usage.ts). */
function makeDisk(): void {
  const script = `
    [ -e /dev/loop-control ] || mknod /dev/loop-control c 10 237
    for n in $(seq 0 31); do [ -e /dev/loop$n ] || mknod /dev/loop$n b 7 $n; done
    truncate -s 64M /srv/disk.img && mkfs.ext4 -qF /srv/disk.img && mount -o loop /srv/disk.img /srv/disk
    install -d -o alice -g alice /srv/disk/alice
    [ ! -d /sys/fs/cgroup/blkio ] ||
      echo "$(stat -c %Hd:%Ld /srv/disk) 0" >/sys/fs/cgroup/blkio/blkio.throttle.write_bps_device`
  execFileSync('sh', ['-ec', script])
  expect(readFileSync('/proc/mounts', 'utf8')).toContain(' /srv/disk ext4 ')
}

/** RFC 4180. */
function parseCsv(text: string): string[][] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) =>
      [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^",]*))/g)].map(
        ([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain ?? '',
      ),
    )
}

/** "a\|b|c\\" is ["a|b", "c\"]. */
function splitParsable(line: string): string[] {
  const fields = ['']
  for (const [piece] of line.matchAll(/\\.|[^]/g)) {
    if (piece === '|') fields.push('')
    else fields.push(`${fields.pop() ?? ''}${/^\\[\\|]$/.test(piece) ? piece.slice(1) : piece}`)
  }
  return fields
}

const unescapeControls = (text: string): string =>
  text.replace(/\\u([0-9a-f]{4})|\\([nr])/g, (_, hex?: string, letter?: string) =>
    hex === undefined ? (letter === 'n' ? '\n' : '\r') : String.fromCharCode(parseInt(hex, 16)),
  )
