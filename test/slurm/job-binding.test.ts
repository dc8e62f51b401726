// Which job a container belongs to: the one that the caller's own cgroups prove, whatever anybody says.
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Daemon, startDaemon, stopDaemons } from '../world/daemon.js'
import { eventually, PATIENCE } from '../world/eventually.js'
import {
  cgroupsOf,
  cgroupVersion,
  directoryIn,
  leftovers,
  nothing,
  pathIn,
  processes,
} from '../world/traces.js'
import { as, expectSuccess, type Result, waitJob, waitState } from '../world/world.js'
import { holdRun } from './held-run.js'
import { attacker, bareRequest, runBytes, sendRaw } from './raw-request.js'

let daemon: Daemon
beforeAll(async () => {
  daemon = await startDaemon()
})
afterAll(async () => {
  await stopDaemons()
  expect(await leftovers()).toEqual(nothing)
})

/** Prints the caller's own cgroups, then those of a container that it runs. */
const look =
  'cat /proc/self/cgroup; echo --; hepwrap run -e WHERE=inside busybox:test cat /proc/self/cgroup'

/** Hierarchies in which Slurm 22.05 makes directories; in the freezer the run sits in the step's own. */
const owned = cgroupVersion === 1 ? ['memory', 'devices', 'cpuacct', 'cpuset'] : ['']

const SLURMS = {
  1: /^\/slurm_n1\/uid_2001\/job_(\d+)\/step_(\w+)(\/task_(\d+))?/,
  2: /^\/system\.slice\/(?:n1_)?slurmstepd\.scope\/job_(\d+)\/step_(\w+)(\/user\/task_(\d+))?/,
}

/** Asserts that the container sat below its caller's own directories, and says of which job and step they are. */
function placeOf(text: string): { jobId: number; step: string; task: number | undefined } {
  const [caller, payload] = text.split('--\n').map((part) => cgroupsOf('self', part))
  for (const hierarchy of owned) {
    const [own, below] = [caller![hierarchy]!, payload![hierarchy]!]
    expect(below.slice(0, own.length + 1)).toBe(`${own}/`)
    expect(below.slice(own.length)).toMatch(/^(\/hepwrap-[0-9a-f]{32})+$/)
  }
  expect(payload!['freezer']).toBe(caller!['freezer'])
  const [, jobId, step, , task] = SLURMS[cgroupVersion].exec(pathIn(payload!)) ?? []
  return { jobId: Number(jobId), step: step ?? '', task: task ? Number(task) : undefined }
}

const lastRecord = () =>
  eventually(() => {
    const row = daemon.ledgerRows().at(-1)
    return row === undefined || row['state'] === 'RUNNING' ? undefined : row
  })

async function expectRefused({ status, stdout, stderr }: Result, code: string): Promise<void> {
  const own = stderr.split('\n').filter((line) => line.startsWith('hepwrap'))
  expect({ status, stdout, lines: own.length }).toEqual({ status: 125, stdout: '', lines: 1 })
  expect(own[0]).toMatch(new RegExp(`^hepwrap: .+ \\(${code}(, run [0-9a-f]+)?\\)$`))
  expect(await leftovers()).toEqual(nothing)
}

const forged = {
  SLURM_JOB_ID: '999999',
  SLURM_JOBID: '999999',
  SLURM_JOB_UID: '0',
  SLURM_JOB_USER: 'root',
  SLURM_JOB_ACCOUNT: 'rich',
  SLURM_STEP_ID: '77',
  SLURM_STEPID: '77',
  SLURM_PROCID: '5',
  SLURM_LOCALID: '5',
  SLURM_ARRAY_JOB_ID: '888888',
  SLURM_ARRAY_TASK_ID: '8',
  SLURM_RESTART_COUNT: '3',
  SLURM_CLUSTER_NAME: 'other',
  SLURMD_NODENAME: 'n9',
  USER: 'root',
  LOGNAME: 'root',
}

describe('ACCEPTANCE 7: forged SLURM_JOB_ID, SLURM_JOB_UID and friends', () => {
  const words = Object.entries(forged).map(([name, value]) => `${name}=${value}`)

  it('change nothing inside a job', async () => {
    const { stdout } = expectSuccess(
      await as('alice').srun(['-Q', 'env', ...words, 'sh', '-c', look]),
    )
    const place = placeOf(stdout)
    expect(place).toMatchObject({ step: '0', task: 0 })
    expect(place.jobId).not.toBe(999999)
    expect(await lastRecord()).toMatchObject({
      job_id: place.jobId,
      step_id: '0',
      task: 0,
      array_job_id: null,
      array_task_id: null,
      user: 'alice',
      uid: 2001,
      cluster: 'hepp',
      node: 'n1',
      state: 'COMPLETED',
    })
  })

  it('do not make a job out of a shell', async () => {
    const run = ['env', ...words, 'hepwrap', 'run', 'busybox:test', 'true']
    await expectRefused(await as('alice').run(run), 'HW_OUTSIDE_JOB')
    expect(await lastRecord()).toMatchObject({ job_id: null, uid: 2001, state: 'REFUSED' })
  })

  it("do not let one job pass for another, nor for another user's", async () => {
    const { id } = await as('bob').sbatch('sleep 60', ['-p', 'shared'])
    await waitState(id, 'RUNNING')
    const words = ['env', `SLURM_JOB_ID=${id}`, 'SLURM_JOB_UID=2002', 'sh', '-c', look]
    const { stdout } = expectSuccess(await as('alice').srun(['-Q', '-p', 'shared', ...words]))
    expect(placeOf(stdout).jobId).not.toBe(Number(id))
    expect(await lastRecord()).toMatchObject({ job_id: placeOf(stdout).jobId, uid: 2001 })
    await as('bob').scancel(id)
    await waitJob(id)
  })
})

describe("ACCEPTANCE 8: the payload's cgroup lies under the caller's own step", () => {
  it('for srun, each task in its own', async () => {
    const script = `sh -c '${look}' >/home/alice/place-$SLURM_PROCID`
    expectSuccess(await as('alice').srun(['-Q', '-n2', 'sh', '-c', script]))
    for (const task of [0, 1]) {
      const path = `/home/alice/place-${task}`
      expect(placeOf(readFileSync(path, 'utf8'))).toMatchObject({ step: '0', task })
      rmSync(path)
    }
  })

  it('for srun, as the node sees it', async () => {
    const run = await holdRun('alice')
    const client = processes(/hepwrap\.c?js run -i/)[0]!
    const caller = cgroupsOf(client.pid)
    for (const pid of [run.initPid, run.payloadPid]) {
      const cgroups = cgroupsOf(pid)
      for (const hierarchy of owned)
        expect(cgroups[hierarchy]!.startsWith(`${caller[hierarchy]!}/hepwrap-`)).toBe(true)
      expect(cgroups['freezer']).toBe(caller['freezer'])
    }
    await run.release()
  })

  it('for sbatch', async () => {
    const { id, output } = await as('alice').sbatch(look)
    await waitJob(id)
    expect(placeOf(output())).toMatchObject({ jobId: Number(id), step: 'batch' })
    expect(await lastRecord()).toMatchObject({ job_id: Number(id), step_id: 'batch' })
  })

  it('for a step of a batch job', async () => {
    const { id, output } = await as('alice').sbatch(`srun -Q sh -c '${look}'`)
    await waitJob(id)
    expect(placeOf(output())).toEqual({ jobId: Number(id), step: '0', task: 0 })
  })

  it('for tasks of an array', async () => {
    const script = `(echo $SLURM_JOB_ID; ${look}) >array-$SLURM_ARRAY_TASK_ID.new
      mv array-$SLURM_ARRAY_TASK_ID.new array-$SLURM_ARRAY_TASK_ID`
    await as('alice').sbatch(script, ['--array=3,4', '-p', 'shared'])
    for (const index of [3, 4]) {
      const path = `/home/alice/array-${index}`
      await eventually(() => existsSync(path))
      const [jobId, ...rest] = readFileSync(path, 'utf8').split('\n')
      expect(placeOf(rest.join('\n'))).toMatchObject({ jobId: Number(jobId), step: 'batch' })
      rmSync(path)
      await waitJob(jobId!)
    }
  })

  it('for an --overlap step', async () => {
    const { id, output } = await as('alice').sbatch(
      `rm -f done
       srun -Q --mem=50 sh -c 'while [ ! -e done ]; do sleep 0.1; done' & 
       while [ "$(squeue -h -s -j $SLURM_JOB_ID -o %i | grep -c '\\.0$')" = 0 ]; do sleep 0.1; done
       srun -Q --overlap --mem=100 sh -c '${look}'
       touch done; wait; rm done`,
    )
    await waitJob(id)
    expect(placeOf(output())).toEqual({ jobId: Number(id), step: '1', task: 0 })
    expect(await lastRecord()).toMatchObject({ job_id: Number(id), step_id: '1', task: 0 })
  })

  it('for a shell that was adopted into extern', async () => {
    const { id } = await as('alice').sbatch('sleep 60')
    await waitState(id, 'RUNNING')
    // What pam_slurm_adopt does: the shell's pid is written where the extern step's own process sits.
    const extern = await eventually(() =>
      processes(/^sleep 100000000$/).find(({ pid }) =>
        pathIn(cgroupsOf(pid)).includes(`job_${id}/`),
      ),
    )
    const cgroups = cgroupsOf(extern.pid)
    const adopt = Object.entries(cgroups)
      .filter(
        ([name, path]) => (name === '') === (cgroupVersion === 2) && path.includes('step_extern'),
      )
      .map(([name]) => `echo $$ >${directoryIn(cgroups, name)}/cgroup.procs`)
    expect(adopt.length).toBeGreaterThan(cgroupVersion === 1 ? 3 : 0)
    const login = 'exec setpriv --reuid 2001 --regid 2001 --init-groups env HOME=/home/alice'
    const script = `${adopt.join('\n')}\n${login} sh -c '${look}'`
    const { stdout } = expectSuccess(await as('root').run(['sh', '-c', script]))
    expect(placeOf(stdout)).toMatchObject({ jobId: Number(id), step: 'extern' })
    expect(await lastRecord()).toMatchObject({ job_id: Number(id), step_id: 'extern', uid: 2001 })
    await as('alice').scancel(id)
    await waitJob(id)
  })
})

describe('job: callers that are not what they seem', () => {
  it.each([
    ['a user namespace', ['unshare', '-Ur'], 'user'],
    ['a mount namespace', ['unshare', '-Urm'], 'mount'],
    ['a pid namespace', ['unshare', '-Urpf'], 'user'],
  ])('in %s are refused', async (_, unshare, word) => {
    const argv = ['-Q', '-p', 'shared', ...unshare, 'hepwrap', 'run', 'busybox:test', 'true']
    const result = await as('alice').srun(argv)
    await expectRefused(result, 'HW_CALLER_NAMESPACE')
    expect(result.stderr).toContain(`another ${word} namespace`)
  })

  it('root in a job is refused', async () => {
    const argv = ['-Q', '-p', 'shared', 'hepwrap', 'run', 'busybox:test', 'true']
    await expectRefused(await as('root').srun(argv), 'HW_ROOT_REFUSED')
    expect(await lastRecord()).toMatchObject({ uid: 0, state: 'REFUSED', step_id: '0' })
  })

  const running = runBytes(bareRequest({ command: ['sh', '-c', 'echo running; sleep 60'] }))

  it('who connected and died, while a child keeps the connection: the run ends (the second net alone)', async () => {
    const argv = ['-Q', '-p', 'shared', 'python3', attacker('hand-over'), 'child', '15']
    const { stdout, durationMs } = expectSuccess(await as('alice').srun(argv, { input: running }))
    expect(stdout).toContain('running')
    expect(stdout).toMatch(/ended\n$/)
    expect(durationMs).toBeLessThan(8000 * PATIENCE)
    expect(await lastRecord()).toMatchObject({ state: 'CANCELLED', reason: 'HW_CLIENT_GONE' })
    expect(await leftovers()).toEqual(nothing)
  })

  it('outside of a job, who hand their connection to a friend inside one, are still outside', async () => {
    const path = `/tmp/meeting-1-${process.pid}`
    const argv = ['-Q', '-p', 'shared', 'python3', attacker('hand-over'), 'receive', '10', path]
    const inside = as('alice').startSrun(argv, { input: running })
    await eventually(() => existsSync(path))
    const outside = as('alice').start(['python3', attacker('hand-over'), 'friend', '10', path], {
      input: '',
    })
    const { stdout } = expectSuccess(await inside.result)
    expect(stdout).toContain('HW_OUTSIDE_JOB')
    expect(stdout).not.toContain('running')
    expect(await lastRecord()).toMatchObject({ job_id: null, state: 'REFUSED' })
    await outside.result
  })

  it('inside a job, who hand their connection to another user, speak for themselves', async () => {
    const path = `/tmp/meeting-2-${process.pid}`
    const words = runBytes(bareRequest({ command: ['id', '-u'] }))
    const argv = ['python3', attacker('hand-over'), 'receive', '10', path]
    const receiver = as('alice').start(argv, { input: words })
    await eventually(() => existsSync(path))
    const give = ['-Q', '-p', 'shared', 'python3', attacker('hand-over'), 'friend', '10', path]
    const giver = as('bob').startSrun(give, { input: '' })
    const { stdout } = expectSuccess(await receiver.result)
    expect(stdout).toContain('2002')
    expect(await lastRecord()).toMatchObject({ uid: 2002, user: 'bob', state: 'COMPLETED' })
    await giver.result
  })

  it('who ask and are gone leave nothing', async () => {
    for (let round = 0; round < 5; round++) {
      await sendRaw('alice', running, { seconds: 0.1 * round })
      await eventually(() => daemon.ledgerRows().every((row) => row['state'] !== 'RUNNING'))
    }
    await eventually(async () => {
      expect(await leftovers()).toEqual(nothing)
      return true
    })
  })
})

describe('ACCEPTANCE 9: outside any job', () => {
  it('a user is refused', async () => {
    const run = ['hepwrap', 'run', 'busybox:test', 'true']
    await expectRefused(await as('alice').run(run), 'HW_OUTSIDE_JOB')
    expect(await lastRecord()).toMatchObject({
      job_id: null,
      step_id: null,
      user: 'alice',
      state: 'REFUSED',
      reason: 'HW_OUTSIDE_JOB',
      exit_code: 125,
    })
  })

  it('a user is allowed where the config says so, and root is not', async () => {
    await stopDaemons()
    daemon = await startDaemon({ config: { slurm: { outside_jobs: 'allow' } } })
    const { stdout } = expectSuccess(
      await as('alice').run(['hepwrap', 'run', 'busybox:test', 'id', '-u']),
    )
    expect(stdout).toBe('2001\n')
    expect(await lastRecord()).toMatchObject({ job_id: null, state: 'COMPLETED', uid: 2001 })
    const run = ['hepwrap', 'run', 'busybox:test', 'true']
    await expectRefused(await as('root').run(run), 'HW_ROOT_REFUSED')
  })
})
