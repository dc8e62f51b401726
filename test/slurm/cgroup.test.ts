// The cgroup tree while a run lives and after its step: in its place, then gone from every hierarchy, with slurmd content.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type Daemon, startDaemon, stopDaemons } from '../world/daemon.js'
import { eventually } from '../world/eventually.js'
import { clientOf, expectNothingLeft, payloadsOf, recordOf, startStep } from '../world/runs.js'
import {
  cgroupsBelow,
  cgroupsNamed,
  cgroupsOf,
  cgroupVersion,
  complaints,
  directoryIn,
  logSince,
  pidsIn,
} from '../world/traces.js'
import { as, waitJob } from '../world/world.js'

const alice = as('alice')
let daemon: Daemon
let slurmdLog: () => string[]
beforeAll(async () => {
  daemon = await startDaemon()
  slurmdLog = logSince('slurmd-n1')
})
afterEach(() => expectNothingLeft())
afterAll(stopDaemons)

/** Nothing of a job in any hierarchy, in whatever part of the tree. */
async function expectNoTrace(jobId: string) {
  const traces = () => cgroupsBelow(new RegExp(`/job_${jobId}(/|$)`))
  await eventually(() => traces().length === 0).catch(() => expect(traces()).toEqual([]))
}

/** Every cgroup directory, the engine's own of its containers too. */
const tree = () => cgroupsNamed(/./)

describe('the cgroup tree', () => {
  it('ACCEPTANCE 25: a run has one directory a hierarchy, below its caller’s own, and its processes sit there', async () => {
    const step = startStep('alice', 'hepwrap run --name placed busybox:test sleep 971; hold')
    const [pid] = await eventually(() => {
      const pids = payloadsOf(daemon, 'placed')
      return pids.length > 0 ? pids : undefined
    })
    const mine = cgroupsOf((await clientOf('placed')).pid)
    const its = cgroupsOf(pid!)
    const name = `hepwrap-${recordOf(daemon, 'placed').id}`
    const v1 = ['memory', 'cpuset', 'devices', 'cpuacct', 'cpu', 'pids', 'blkio']
    for (const controller of cgroupVersion === 1 ? v1 : ['']) {
      const parent = mine[controller] === '/' ? '' : mine[controller]
      expect([controller, its[controller]]).toEqual([controller, `${parent}/${name}`])
    }
    // So that Slurm's own kill reaches it; on v2 task_N's list of processes has those of its threaded child as well.
    if (cgroupVersion === 1) expect(its['freezer']).toBe(mine['freezer'])
    else expect(pidsIn(directoryIn(mine))).toContain(pid)
    await alice.scancel((await showJobs())[0]!)
    await step.result
  })

  it('ACCEPTANCE 25: after each kind of step nothing of the job is left in any hierarchy', async () => {
    const run = 'hepwrap run busybox:test'
    const jobs = await Promise.all([
      alice.sbatch(
        `srun ${run} true; srun ${run} sh -c 'exit 3'; ${run} true & ${run} true & wait`,
      ),
      as('bob').sbatch(
        `${run} true; srun --overlap ${run} true & srun --overlap ${run} true; wait`,
      ),
    ])
    for (const { id, output } of jobs) {
      await waitJob(id)
      expect(output()).not.toContain('hepwrap:')
      await expectNoTrace(id)
    }
    expect(daemon.ledgerRows().filter((row) => row['job_id'] === Number(jobs[0].id))).toHaveLength(
      4,
    )
  })

  it('ACCEPTANCE 25: nor of array tasks, nor of a job that fails in its container', async () => {
    await alice.sbatch('hepwrap run --name array busybox:test sh -c "exit $SLURM_ARRAY_TASK_ID"', [
      '--array=0-3',
      '-p',
      'shared',
    ])
    await eventually(async () => (await showJobs()).length === 0, { timeoutMs: 20_000 })
    const rows = daemon.ledgerRows().filter((row) => row['name'] === 'array')
    const jobIds = rows.map((row) => String(row['job_id']))
    expect(rows.map((row) => row['exit_code']).sort()).toEqual([0, 1, 2, 3])
    expect(new Set(jobIds).size).toBe(4)
    for (const id of jobIds) await expectNoTrace(id)
  })

  it('ACCEPTANCE 25: what a payload made of its own cgroup directories goes, too', async () => {
    // On v1 a user owns his step's directories in some hierarchies; a container sees them read-only or not at all.
    const { status } = await alice.srun([
      '-Q',
      'bash',
      '-c',
      'mkdir -p $(sed -n "s,.*:freezer:,/sys/fs/cgroup/freezer,p; s,^0::,/sys/fs/cgroup,p" /proc/self/cgroup | head -n 1)/mine 2>/dev/null; hepwrap run busybox:test true',
    ])
    expect(status).toBe(0)
    await eventually(() => cgroupsNamed(/^mine$/).length === 0)
  })

  it('ACCEPTANCE 25: the tree is as before, and slurmd has no complaint', async () => {
    const before = new Set(tree())
    const added = () => tree().filter((path) => !before.has(path))
    await alice.srun(['-Q', 'hepwrap', 'run', 'busybox:test', 'true'])
    await eventually(async () => (await showJobs()).length === 0)
    await eventually(() => added().length === 0).catch(() => expect(added()).toEqual([]))
    expect(complaints(slurmdLog())).toEqual([])
  })
})

/** Ids of the jobs that are not over. */
async function showJobs(): Promise<string[]> {
  const { stdout } = await as('root').run(['squeue', '-h', '-o', '%A'])
  return stdout.split('\n').filter(Boolean)
}
