// Slurm's limits bind the container: memory (11) and processors (12).
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Daemon, startDaemon, stopDaemons } from '../world/daemon.js'
import { eventually } from '../world/eventually.js'
import { leftovers, nothing, processes } from '../world/traces.js'
import { as, expectSuccess, waitJob } from '../world/world.js'
import { holdRun } from './held-run.js'

let daemon: Daemon
beforeAll(async () => {
  daemon = await startDaemon()
})
afterAll(async () => {
  await stopDaemons()
  expect(await leftovers()).toEqual(nothing)
})

const lastRecord = () =>
  eventually(() => {
    const row = daemon.ledgerRows().at(-1)
    return row === undefined || row['state'] === 'RUNNING' ? undefined : row
  })

/** hepwrap's own lines: srun and slurmstepd have theirs. */
const ownLines = (stderr: string) => stderr.split('\n').filter((line) => line.startsWith('hepwrap'))

const MIB = 1024 * 1024
const eat = (mib: number) => `x = bytearray(${mib} << 20); print('had it all')`

describe('ACCEPTANCE 11: allocation beyond --mem', () => {
  it('is OOM-killed inside the container only, and the job goes on', async () => {
    const script = `hepwrap run debian:test python3 -c "${eat(300)}"; echo "status $?"
      hepwrap run busybox:test echo next`
    const { stdout, stderr } = await as('alice').srun(['-Q', '--mem=100', 'sh', '-c', script])
    expect(stdout).toBe('status 137\nnext\n')
    expect(ownLines(stderr)).toEqual([expect.stringMatching(/ \(HW_OOM_KILLED.*\)$/)])
    await lastRecord()
    const [killed, next] = daemon.ledgerRows().slice(-2)
    expect(killed).toMatchObject({
      state: 'OUT_OF_MEMORY',
      reason: 'HW_OOM_KILLED',
      exit_code: 137,
      signal: 9,
      oom_kills: 1,
      memory_limit_bytes: 100 * MIB,
    })
    expect(Number(killed!['memory_peak_bytes'])).toBeGreaterThan(40 * MIB)
    expect(Number(killed!['memory_peak_bytes'])).toBeLessThanOrEqual(100 * MIB)
    expect(next).toMatchObject({ state: 'COMPLETED', exit_code: 0, oom_kills: 0 })
  })

  it('does not touch the other jobs of the node', async () => {
    const shared = ['srun', '-Q', '-p', 'shared', '--mem=60']
    const plain = as('bob').startSrun(['-Q', '-p', 'shared', '--mem=60', 'sleep', '62'])
    await eventually(() => processes(/^\/usr\/bin\/sleep 62$/).length === 1)
    const bobs = await holdRun('bob', shared)
    const alices = await holdRun('alice', shared)
    const argv = ['--mem=100', 'hepwrap', 'run', 'debian:test', 'python3', '-c', eat(300)]
    const { status, stdout } = await as('alice').srun(['-Q', '-p', 'shared', ...argv])
    expect({ status, stdout }).toEqual({ status: 137, stdout: '' })
    const alive = processes().map(({ pid }) => pid)
    expect(alive).toEqual(expect.arrayContaining([bobs.payloadPid, alices.payloadPid]))
    expect(processes(/^\/usr\/bin\/sleep 62$/)).toHaveLength(1)
    await bobs.release()
    await alices.release()
    await as('bob').scancel('--user', 'bob', '--name', 'sleep')
    await plain.result
  })

  it('by a child of the command is counted too, and the command decides how it ends', async () => {
    const script = `python3 -c "${eat(300)}"; echo "child $?"; exit 3`
    const argv = ['-Q', '--mem=100', 'hepwrap', 'run', 'debian:test', 'sh', '-c', script]
    const { status, stdout } = await as('alice').srun(argv)
    expect({ status, stdout }).toEqual({ status: 3, stdout: 'child 137\n' })
    expect(await lastRecord()).toMatchObject({
      state: 'OUT_OF_MEMORY',
      reason: 'HW_OOM_KILLED',
      exit_code: 3,
      signal: null,
      oom_kills: 1,
    })
  })

  it('in a batch job leaves the batch script alive', async () => {
    const script = `hepwrap run debian:test python3 -c "${eat(300)}"\necho "went on after $?"`
    const { id, output } = await as('alice').sbatch(script, ['--mem=100'])
    await waitJob(id)
    expect(output()).toContain('went on after 137')
    expect(output()).toContain('(HW_OOM_KILLED')
  })

  it('in /dev/shm and in a tmpfs counts as memory of the job', async () => {
    for (const path of ['/dev/shm', '/t']) {
      const options = ['--shm-size', '90m', '--tmpfs', '/t:size=300m']
      const script = `head -c 250M /dev/zero >${path}/fill; echo "status $?"`
      const argv = ['hepwrap', 'run', ...options, 'busybox:test', 'sh', '-c', script]
      const { stdout } = await as('alice').srun(['-Q', '--mem=100', ...argv])
      expect(stdout).not.toContain('status 0')
    }
  })
})

describe('limits of a run of its own go downward only', () => {
  it('-m below the job: the container is killed at its own limit', async () => {
    const argv = ['hepwrap', 'run', '-m', '50m', 'debian:test', 'python3', '-c', eat(80)]
    expect((await as('alice').srun(['-Q', '--mem=200', ...argv])).status).toBe(137)
    const record = await lastRecord()
    expect(record).toMatchObject({ state: 'OUT_OF_MEMORY', memory_limit_bytes: 50 * MIB })
    expect(Number(record['memory_peak_bytes'])).toBeLessThanOrEqual(50 * MIB)
  })

  it.each([
    ['-m', '201m', '--memory 210763776'],
    ['--cpus', '1.5', '--cpus 1.5'],
    ['--shm-size', '1g', '--shm-size 1073741824'],
    ['--ulimit', 'nofile=9999999', '--ulimit nofile'],
    ['--ulimit', 'memlock=-1', '--ulimit memlock'],
    ['--ulimit', 'rtprio=50', '--ulimit rtprio'],
  ])('%s %s above the job is refused', async (option, value, quoted) => {
    const argv = ['hepwrap', 'run', option, value, 'busybox:test', 'true']
    const { status, stdout, stderr } = await as('alice').srun(['-Q', '--mem=200', ...argv])
    expect({ status, stdout }).toEqual({ status: 125, stdout: '' })
    expect(ownLines(stderr)).toEqual([expect.stringMatching(/\(HW_LIMIT_ABOVE_JOB.*\)$/)])
    expect(stderr).toContain(quoted)
    expect(await lastRecord()).toMatchObject({ state: 'REFUSED', reason: 'HW_LIMIT_ABOVE_JOB' })
  })

  it('rlimits of the caller hold inside, too', async () => {
    const look = 'ulimit -Su; ulimit -Hn; ulimit -Sc; ulimit -Hl; ulimit -Hf; ulimit -Hs'
    const script = `ulimit -u 777; ulimit -n 888; ulimit -c 0; ulimit -l 99; ulimit -f 123456; ulimit -s 9000
      ${look}; hepwrap run debian:test bash -c "${look}"`
    const { stdout } = expectSuccess(await as('alice').srun(['-Q', 'bash', '-c', script]))
    const lines = stdout.trim().split('\n')
    expect(lines.slice(0, 6)).toEqual(['777', '888', '0', '99', '123456', '9000'])
    expect(lines.slice(6)).toEqual(lines.slice(0, 6))
  })
})

describe('ACCEPTANCE 12: nproc and Cpus_allowed are those of the job', () => {
  const look = 'nproc; grep -E "^(Cpus|Mems)_allowed_list" /proc/self/status'

  it.each([
    [['-n1'], 1],
    [['-c2'], 2],
    [['-n1', '--hint=nomultithread'], 1],
    [['-n1', '-c1', '-p', 'shared'], 1],
  ])('with %j', async (options, cpus) => {
    const script = `${look}; hepwrap run debian:test sh -c '${look}'`
    const { stdout } = expectSuccess(await as('alice').srun(['-Q', ...options, 'sh', '-c', script]))
    const lines = stdout.trim().split('\n')
    expect(lines.slice(0, 3)).toEqual(lines.slice(3))
    expect(lines[0]).toBe(String(cpus))
    expect((await lastRecord())['cpus']).toBe(cpus)
  })

  it('cannot be widened from inside', async () => {
    const argv = ['hepwrap', 'run', 'debian:test', 'sh', '-c', 'taskset -pc 0-63 $$ && nproc']
    const { stdout } = expectSuccess(await as('alice').srun(['-Q', '-n1', ...argv]))
    expect(stdout.trim().split('\n').at(-1)).toBe('1')
  })

  it('two jobs, each with its own', async () => {
    const runs = [await holdRun('alice'), await holdRun('bob')]
    const cpus = runs.map((run) => run.status('Cpus_allowed_list'))
    expect([...cpus].sort()).toEqual(['0', '1'])
    for (const run of runs) await run.release()
  })
})
