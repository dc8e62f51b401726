// ACCEPTANCE 8 on a real kernel with cgroup v2: trees as Slurm 22.05 to 26.05 name them, made below a slice of the test's own,
// in which a process of alice's runs a container as a task would. Their Slurm is not there: the test makes what
// slurmstepd makes (mkdir, subtree_control, memory.max) and calls prolog and epilog. Only where cgroup v2 is all there is.
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type Daemon, startDaemon, stopDaemons } from '../world/daemon.js'
import { eventually } from '../world/eventually.js'
import {
  cgroupRoot,
  cgroupsBelow,
  cgroupsNamed,
  leftovers,
  mounts,
  nothing,
} from '../world/traces.js'
import { as, expectSuccess, type Running } from '../world/world.js'

const SLICE = '/hepwraptest.slice'
const MEMORY_BYTES = 128 * 1024 * 1024

interface Layout {
  readonly made: string
  readonly scope: string
  /** "job_7", "sEKNKTV3WPV500" */
  readonly job: string
  readonly jobId: number
  readonly step: string
}

const layouts: readonly Layout[] = [
  {
    made: 'Slurm 22.05 to 25.11, one slurmd a host',
    scope: `${SLICE}/slurmstepd.scope`,
    job: 'job_990001',
    jobId: 990_001,
    step: '0',
  },
  {
    made: 'Slurm 24.11, several slurmd a host, a heterogeneous step',
    scope: `${SLICE}/n1_slurmstepd.scope`,
    job: 'job_990002',
    jobId: 990_002,
    step: '3+1',
  },
  {
    made: 'Slurm 26.05, by SLUID',
    scope: `${SLICE}/slurmstepd.scope`,
    job: 'sEKNKTV3WPV500',
    jobId: 990_003,
    step: '0',
  },
  {
    made: 'Slurm 26.05, by SLUID, CgroupSlice nested, several slurmd a host',
    scope: `${SLICE}/hepwraptest-jobs.slice/n1_slurmstepd.scope`,
    job: 'sEKNKTV3WPV501',
    jobId: 990_004,
    step: 'batch',
  },
  {
    made: 'Slurm 26.05, CgroupJobIdPaths=yes',
    scope: `${SLICE}/hepwraptest-jobs.slice/slurmstepd.scope`,
    job: 'job_990005',
    jobId: 990_005,
    step: 'interactive',
  },
]

let daemon: Daemon
beforeAll(async () => {
  const types = mounts().map(({ type }) => type)
  if (!types.includes('cgroup2') || types.includes('cgroup'))
    throw new Error('these tests are for a node with cgroup v2 alone')
  daemon = await startDaemon()
})
afterEach(async () => {
  await eventually(async () => {
    expect(await leftovers()).toEqual(nothing)
    return true
  })
  removeSlice()
})
afterAll(stopDaemons)

const inTree = (path: string) => cgroupRoot + path
const write = (path: string, file: string, text: string) =>
  writeFileSync(`${inTree(path)}/${file}`, text)

/** As slurmstepd does, top down: every level but the leaves hands its controllers on. */
function makeInner(path: string): void {
  if (path !== '/') makeInner(dirname(path))
  mkdirSync(inTree(path), { recursive: true })
  write(path, 'cgroup.subtree_control', '+cpuset +cpu +memory')
}

/** The tree of a step; answers the leaf of its first task. */
function makeStep({ scope, job, step }: Pick<Layout, 'scope' | 'job' | 'step'>): string {
  const user = `${scope}/${job}/step_${step}/user`
  makeInner(user)
  for (const path of [`${scope}/${job}`, user]) write(path, 'memory.max', String(MEMORY_BYTES))
  for (const leaf of [`${user}/task_0`, `${dirname(user)}/slurm`, `${scope}/system`])
    mkdirSync(inTree(leaf), { recursive: true })
  return `${user}/task_0`
}

function removeSlice(): void {
  // an inner directory stands before what is below it
  for (const path of cgroupsBelow(new RegExp(SLICE)).reverse()) rmdirSync(path)
}

/** alice's shell in this cgroup; it begins once it sits there. */
async function startIn(leaf: string, script: string): Promise<Running> {
  const shell = as('alice').start(['sh', '-c', `read go; ${script}`])
  await eventually(() => readFileSync(`/proc/${shell.pid}/cmdline`, 'utf8').startsWith('sh\0'))
  write(leaf, 'cgroup.procs', String(shell.pid))
  shell.child.stdin!.write('\n')
  return shell
}

const hook = (which: 'prolog' | 'epilog', { jobId, job }: Pick<Layout, 'jobId' | 'job'>) => {
  const variables = {
    SLURM_JOB_ID: String(jobId),
    SLURM_JOB_UID: '2001',
    SLURM_JOB_USER: 'alice',
    ...(job.startsWith('s') && { SLURM_JOB_SLUID: job }),
  }
  const words = Object.entries(variables).map((pair) => pair.join('='))
  return as('root').run(['env', '-i', ...words, `/opt/hepwrap/${which}/hepwrap-${which}`])
}

const recordOf = (name: string): Record<string, unknown> =>
  daemon.ledgerRows().find((row) => row['name'] === name) ?? {}

describe('ACCEPTANCE 8: a run lies under its caller’s own step, whatever made the tree', () => {
  it.each(layouts)('$made', async (layout) => {
    const leaf = makeStep(layout)
    const name = `layout-${layout.jobId}`
    expectSuccess(await hook('prolog', layout))
    const shell = await startIn(
      leaf,
      `hepwrap run -i --name ${name} busybox:test sh -c 'id -u; read done'; echo $?`,
    )
    await eventually(() => shell.stdoutSoFar() === '2001\n')
    const own = cgroupsNamed(new RegExp(`^hepwrap-${String(recordOf(name)['id'])}$`))
    expect(own).toEqual([inTree(`${leaf}/hepwrap-${String(recordOf(name)['id'])}`)])
    const threads = readFileSync(`${own[0]}/cgroup.threads`, 'utf8').trim().split('\n')
    expect(threads.length).toBeGreaterThanOrEqual(2) // init, sh
    shell.child.stdin!.end('\n')
    const { stdout } = await shell.result
    expect(stdout).toBe('2001\n0\n')
    expect(recordOf(name)).toMatchObject({
      job_id: layout.jobId,
      step_id: layout.step,
      task: 0,
      user: 'alice',
      state: 'COMPLETED',
      memory_limit_bytes: MEMORY_BYTES,
    })
    expect(cgroupsNamed(/^hepwrap-/)).toEqual([])
    expectSuccess(await hook('epilog', layout))
    expect(cgroupsNamed(new RegExp(`^${layout.job}$`))).toEqual([])
    expect(cgroupsNamed(/^system$/)).toContain(inTree(`${layout.scope}/system`))
  })

  it.each([layouts[0]!, layouts[3]!])('$made: the epilog ends what still runs', async (layout) => {
    const leaf = makeStep(layout)
    const name = `epilog-${layout.jobId}`
    expectSuccess(await hook('prolog', layout))
    const shell = await startIn(leaf, `hepwrap run --name ${name} busybox:test sleep 600`)
    await eventually(() => cgroupsNamed(/^hepwrap-/).length > 0)
    await eventually(() => recordOf(name)['state'] === 'RUNNING')
    expectSuccess(await hook('epilog', layout))
    await shell.result
    expect(recordOf(name)).toMatchObject({ state: 'CANCELLED', reason: 'HW_JOB_CLEANED' })
    expectSuccess(await hook('epilog', layout)) // the shell was still in it the first time
    expect(cgroupsNamed(new RegExp(`^${layout.job}$`))).toEqual([])
  })
})

describe('a tree that proves no job', () => {
  const run = (name: string) => `hepwrap run --name ${name} busybox:test true; echo $?`
  const refusal = async (shell: Running) => {
    const { stdout, stderr } = await shell.result
    expect(stdout).toBe('125\n')
    return stderr
  }

  it('a SLUID that nobody has announced, or of a life that is over', async () => {
    const layout = { ...layouts[2]!, job: 'sEKNKTV3WPV50Z', jobId: 990_010 }
    const leaf = makeStep(layout)
    const unannounced = `job ${layout.job}: Slurm names it by its SLUID alone, and no prolog`
    expect(await refusal(await startIn(leaf, run('nobody')))).toMatch(unannounced)
    expect(recordOf('nobody')).toMatchObject({ job_id: null, reason: 'HW_JOB_UNANNOUNCED' })

    expectSuccess(await hook('prolog', layout))
    expectSuccess(await hook('prolog', { ...layout, job: 'sEKNKTV3WPV510' })) // requeued
    expect(await refusal(await startIn(leaf, run('requeued')))).toMatch(unannounced)
  })

  it('slurmstepd’s own part of a step', async () => {
    const leaf = makeStep(layouts[0]!)
    const own = `${dirname(dirname(leaf))}/slurm`
    expect(await refusal(await startIn(own, run('stepd')))).toContain('(HW_JOB_MISMATCH)')
  })

  it('a slice of the user’s own with Slurm’s names in it', async () => {
    const alices = `${SLICE}/hepwraptest-alice.slice`
    makeInner(alices)
    expectSuccess(await as('root').run(['chown', '-R', 'alice', inTree(alices)]))
    const leaf = `${alices}/slurmstepd.scope/job_990001/step_0/user/task_0`
    expectSuccess(await as('alice').run(['mkdir', '-p', inTree(leaf)]))
    expectSuccess(await hook('prolog', layouts[0]!))
    expect(await refusal(await startIn(leaf, run('fake')))).toContain('is not Slurm')
    expectSuccess(await hook('epilog', layouts[0]!))
    expect(cgroupsNamed(/^job_990001$/)).toEqual([inTree(dirname(dirname(dirname(leaf))))])
  })

  it('a service of the user’s own: it is no job at all', async () => {
    const leaf = `${SLICE}/user@2001.service/slurmstepd.scope/job_990001/step_0/user/task_0`
    mkdirSync(inTree(leaf), { recursive: true })
    expect(await refusal(await startIn(leaf, run('service')))).toContain('(HW_OUTSIDE_JOB)')
  })
})
