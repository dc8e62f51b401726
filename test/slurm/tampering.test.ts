// A hostile user with a shell in a job, beyond what he sends: what he floods, freezes, renames, kills and tries to read.
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FRAME, frame } from '../../src/wire/frames.js'
import type { RunRequest } from '../../src/wire/run-api.js'
import { type Daemon, startDaemon, stopDaemons } from '../world/daemon.js'
import { eventually } from '../world/eventually.js'
import {
  cgroupsBelow,
  cgroupVersion,
  directoryIn,
  leftovers,
  nothing,
  processes,
} from '../world/traces.js'
import { as, expectSuccess, waitJob, waitState } from '../world/world.js'
import { holdRun, inits } from './held-run.js'
import { attacker, bareRequest, runBytes, sendAll } from './raw-request.js'

// On this partition jobs share a core: one never waits for another.
const shared = ['srun', '-Q', '-p', 'shared']
let daemon: Daemon
beforeAll(async () => {
  const config = { node: { stop_timeout_s: 1 }, policy: { ceilings: { runs_per_user: 4 } } }
  daemon = await startDaemon({ config })
})
afterAll(async () => {
  expect(await leftovers()).toEqual(nothing)
  await stopDaemons()
  expect(daemon.logText()).not.toMatch(/"level":(50|60)/)
})

const rssMib = () => {
  const status = readFileSync(`/proc/${daemon.pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+)/m.exec(status)![1]) / 1024
}

async function expectServed(): Promise<void> {
  const argv = ['-Q', '-p', 'shared', 'hepwrap', 'run', 'busybox:test', 'echo', 'served']
  const { stdout } = expectSuccess(await as('bob').srun(argv, { timeoutMs: 15_000 }))
  expect(stdout).toBe('served\n')
}

/** Alice's last run is over, with all that belongs to it. */
const lastRecord = () =>
  eventually(
    async () => {
      const row = daemon.ledgerRows().findLast(({ uid }) => uid === 2001)
      if (row === undefined || row['state'] === 'RUNNING') return undefined
      expect(await leftovers()).toEqual(nothing)
      return row
    },
    { timeoutMs: 15_000 },
  )

describe('floods', () => {
  const running = { command: ['sh', '-c', 'echo running; sleep 60'] }
  const flood = (request: Partial<RunRequest>, unit: Buffer, ...more: string[]) => {
    const start = runBytes(bareRequest({ ...running, ...request }))
    const input = Buffer.concat([Buffer.from(`${start.length}\n`), start, unit])
    const argv = ['python3', attacker('flood'), '3', '1000000', ...more]
    return as('alice').srun(['-Q', '-p', 'shared', ...argv], { input })
  }
  const resize = frame(FRAME.resize, { rows: 30, columns: 90 })
  const winch = frame(FRAME.signal, { signal: 'SIGWINCH' })

  it.each([
    ['a million terminal sizes', { tty: true, terminal: { rows: 24, columns: 80 } }, resize, []],
    ['a million signals for an init that takes none', {}, winch, ['stop']],
  ])('%s cost the daemon no memory and others no time', async (_, request, unit, more) => {
    await expectServed()
    const before = rssMib()
    const flooding = flood(request, unit, ...more)
    await eventually(() => inits().length > 0)
    await expectServed()
    await flooding
    expect(rssMib()).toBeLessThan(before + 150)
    expect(await lastRecord()).toMatchObject({ state: 'CANCELLED', reason: 'HW_CLIENT_GONE' })
  })

  it('refused requests with megabytes of labels write no megabytes', async () => {
    const size = () => Number(daemon.ledgerRows('pragma page_count')[0]!['page_count'])
    const many = Object.fromEntries(
      Array.from({ length: 900 }, (_, index) => [`l${index}`, 'x'.repeat(1000)]),
    )
    const before = size()
    const request = runBytes(bareRequest({ image: 'not/allowed', labels: many }))
    const answers = await sendAll('alice', Array<Buffer>(20).fill(request))
    for (const { text } of answers) expect(text).toMatch(/HW_REQUEST_INVALID/)
    expect((size() - before) * 4096).toBeLessThan(1024 * 1024)
  })

  it('twenty runs asked for at once are as many as one user may have, and the rest refused', async () => {
    const long = runBytes(bareRequest({ command: ['sleep', '60'] }))
    const answers = await sendAll('alice', Array<Buffer>(20).fill(long), { seconds: 3 })
    const refused = answers.filter(({ text }) => text.includes('HW_TOO_MANY_RUNS'))
    const opened = answers.filter(({ text }) => text.includes('"opened"'))
    expect({ opened: opened.length, refused: refused.length }).toEqual({ opened: 4, refused: 16 })
    await lastRecord()
  })

  it('connecting and hanging up in a loop keeps out neither users, nor prolog and epilog', async () => {
    const churn = as('alice').startSrun(['-Q', '-p', 'shared', 'python3', attacker('churn'), '3'])
    await eventually(() => churn.stdoutSoFar().includes('begun'))
    expectSuccess(await as('bob').run(['hepwrap', 'ps']))
    const job = { SLURM_JOB_ID: '4000000', SLURM_JOB_UID: '2002' }
    expectSuccess(await as('root').run(['hepwrap', 'configure'], { env: job }))
    expectSuccess(await as('root').run(['hepwrap', 'clean'], { env: job }))
    await expectServed()
    expect(Number((await churn.result).stdout.split('\n')[1])).toBeGreaterThan(1000)
  })
})

describe('tampering with the own container', () => {
  it('stopping its init does not keep it alive', async () => {
    const run = await holdRun('alice', shared)
    process.kill(run.initPid, 'SIGSTOP') // as alice could: the init is a process of hers
    run.kill('SIGKILL')
    expect(await lastRecord()).toMatchObject({ state: 'CANCELLED', reason: 'HW_CLIENT_GONE' })
    await run.result
  })

  it('killing its init ends it, and it is recorded as it was', async () => {
    const run = await holdRun('alice', shared)
    expectSuccess(await as('alice').run(['kill', '-KILL', String(run.initPid)]))
    expect((await run.result).status).toBe(137)
    expect(await lastRecord()).toMatchObject({ exit_code: 137, signal: 9 })
  })

  // On v2 Slurm's directories are root's: a user has nothing to freeze or rename.
  const onV1 = cgroupVersion === 1 ? it : () => undefined

  onV1('freezing it does not keep it alive, nor drain the node (cgroup v1)', async () => {
    const { id } = await as('alice').sbatch(
      `hepwrap run busybox:test sleep 71 &
       freezer=/sys/fs/cgroup/freezer$(sed -n 's/.*:freezer://p' /proc/self/cgroup)
       until [ "$(pgrep -u $USER -f '^sleep 71$' | wc -l)" = 1 ]; do sleep 0.1; done
       mkdir $freezer/mine
       for pid in $(pgrep -u $USER -f '^/.hepwrap|^sleep 71$'); do
         echo $pid >$freezer/mine/cgroup.procs
       done
       echo FROZEN >$freezer/mine/freezer.state
       until [ "$(cat $freezer/mine/freezer.state)" = FROZEN ]; do sleep 0.1; done
       touch frozen; sleep 60`,
      ['-p', 'shared'],
    )
    await waitState(id, 'RUNNING')
    await eventually(() => existsSync('/home/alice/frozen'))
    expect(processes(/^sleep 71$/)).toMatchObject([{ state: 'D' }])
    await as('alice').scancel(id)
    expect((await waitJob(id)).state).toBe('CANCELLED')
    await lastRecord()
    expect(processes(/^sleep 71$/)).toEqual([])
    const { stdout } = await as('root').run(['sinfo', '-h', '-p', 'main', '-o', '%T'])
    expect(stdout).toBe('idle\n')
    expect(cgroupsBelow(new RegExp(`/job_${id}(/|$)`))).toEqual([])
    rmSync('/home/alice/frozen')
  })

  // What a user can do to his own counters on v1 is docs/decisions/0005.
  onV1(
    'renaming its cgroups costs him his own counters, and leaves nothing (cgroup v1)',
    async () => {
      const { id } = await as('alice').sbatch(
        `hepwrap run busybox:test sh -c 'echo running; sleep 2' >out &
       until grep -q running out; do sleep 0.05; done
       for controller in memory cpuacct devices; do
         cd /sys/fs/cgroup/$controller$(sed -n "s/.*:$controller://p" /proc/self/cgroup)
         mv hepwrap-* stolen && echo renamed
       done
       wait $!; echo "status $?"`,
        ['-p', 'shared'],
      )
      await waitJob(id)
      const output = readFileSync(`/home/alice/job-${id}.out`, 'utf8')
      expect(output).toBe('renamed\nrenamed\nrenamed\nstatus 0\n')
      const record = await lastRecord()
      expect(record).toMatchObject({ state: 'COMPLETED', exit_code: 0, job_id: Number(id) })
      // Unknown is null: never a number that is too small by chance.
      expect([record['cpu_user_usec'], record['memory_peak_bytes']]).toEqual([null, null])
      expect(cgroupsBelow(new RegExp(`/job_${id}(/|$)`))).toEqual([])
    },
  )
})

describe('reading and touching what is not his', () => {
  const tries = async (script: string) =>
    as('alice')
      .srun(['-Q', '-p', 'shared', 'bash', '-c', script])
      .then(({ stdout }) => stdout)

  it("the ledger, the job table and the runs' directories are closed to users", async () => {
    const run = await holdRun('bob', shared)
    const paths = [
      daemon.stateDirectory,
      `${daemon.stateDirectory}/ledger.db`,
      `${daemon.stateDirectory}/ledger.db-wal`,
      `${daemon.runDirectory}/jobs`,
      `${daemon.runDirectory}/runs`,
      `${daemon.runDirectory}/runs/*`,
      `${daemon.stateDirectory}/hepwrap-init`,
    ]
    const script = paths
      .map((path) => `(ls ${path}/ || cat ${path}) >/dev/null 2>&1 && echo ${path}`)
      .join('; ')
    expect(await tries(script)).toBe('')
    const writes = [daemon.runDirectory, daemon.socketPath, daemon.configPath]
      .map((path) => `[ -w ${path} ] && [ ! -S ${path} ] && echo ${path}`)
      .join('; ')
    expect(await tries(writes)).toBe('')
    await run.release()
  })

  it("another user's container: its processes, memory, files, descriptors and cgroups", async () => {
    const run = await holdRun('bob', shared)
    const pid = run.payloadPid
    const cgroup = directoryIn(run.cgroups)
    const script = [
      `kill -TERM ${pid} ${run.initPid}`,
      `cat /proc/${pid}/environ`,
      `ls /proc/${pid}/root/`,
      `ls /proc/${pid}/fd/`,
      `head -c 1 /proc/${pid}/mem`,
      `nsenter -t ${pid} -m true`,
      `echo $$ >${cgroup}/cgroup.procs`,
      `echo $$ >${cgroup}/cgroup.threads`,
      `echo 1 >${cgroup}/cgroup.freeze`,
      `mkdir ${cgroup}/mine`,
      `mv ${cgroup} ${cgroup}x`,
      `rmdir ${directoryIn(run.cgroups, 'pids')}`,
    ]
      .map((attempt, index) => `(${attempt}) >/dev/null 2>&1 && echo ${index}`)
      .join('; ')
    expect(await tries(script)).toBe('')
    await run.release()
  })

  it('the daemon, the engine and slurmd can be neither signalled nor read', async () => {
    const pids = [
      daemon.pid,
      ...processes(/^(dockerd|containerd|podman|conmon|slurmd) /).map(({ pid }) => pid),
    ]
    expect(pids.length).toBeGreaterThan(3)
    const script = pids
      .flatMap((pid) => [`kill -0 ${pid}`, `cat /proc/${pid}/environ`, `ls /proc/${pid}/fd/`])
      .map((attempt, index) => `(${attempt}) >/dev/null 2>&1 && echo ${index}`)
      .join('; ')
    expect(await tries(script)).toBe('')
    expect(
      await tries(
        'for s in /run/docker.sock /run/podman/podman.sock; do [ -w $s ] && echo w; done',
      ),
    ).not.toContain('w\n')
  })
})
