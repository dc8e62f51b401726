// ACCEPTANCE 8 for the trees that the Slurm of the test world cannot make: process → job → where its run is placed, on a tree
// of directories named as Slurm names them (slurm src/interfaces/cgroup.c and src/plugins/cgroup; cgroup.conf(5): CgroupSlice).
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { RunId } from '../../../src/base/ids.js'
import { planPlacement } from '../../../src/cgroup/placement.js'
import { parseCgroups } from '../../../src/proc/cgroup-of.js'
import { jobOf } from '../../../src/slurm/job-of.js'
import { createJobTable } from '../../../src/slurm/job-table.js'

const RUN_ID = 'c'.repeat(32) as RunId
const STATUS = 'State:\tS (sleeping)\nUmask:\t0022\nUid:\t1\t1\t1\t1\nGid:\t1\t1\t1\t1\nGroups:\t\n'

const layouts: [string, string, { jobId: number; stepId: string; task?: number }][] = [
  [
    'v1, one slurmd',
    '3:memory:/slurm/uid_2001/job_7/step_0/task_1\n2:freezer:/slurm/uid_2001/job_7/step_0\n0::/',
    { jobId: 7, stepId: '0', task: 1 },
  ],
  [
    'v2 with job_N',
    '0::/system.slice/slurmstepd.scope/job_7/step_0/user/task_1',
    { jobId: 7, stepId: '0', task: 1 },
  ],
  [
    'v2 with a SLUID',
    '0::/system.slice/slurmstepd.scope/sEKNKTV3WPV500/step_0/user/task_1',
    { jobId: 7, stepId: '0', task: 1 },
  ],
  [
    'v2 in another slice',
    '0::/batch.slice/batch-slurm.slice/slurmstepd.scope/job_7/step_0/user/task_1',
    { jobId: 7, stepId: '0', task: 1 },
  ],
  [
    'v2 with a SLUID in another slice, below a node-prefixed scope',
    '0::/batch.slice/n1_slurmstepd.scope/sEKNKTV3WPV500/step_batch/user/task_0',
    { jobId: 7, stepId: 'batch', task: 0 },
  ],
  [
    'v2 below a node-prefixed scope',
    '0::/system.slice/n1_slurmstepd.scope/job_7/step_0/user/task_1',
    { jobId: 7, stepId: '0', task: 1 },
  ],
  [
    'v2 without a slice',
    '0::/slurmstepd.scope/job_7/step_extern/user/task_special',
    { jobId: 7, stepId: 'extern' },
  ],
  [
    'v2, a component of a heterogeneous step',
    '0::/system.slice/slurmstepd.scope/job_7/step_3+1/user/task_0',
    { jobId: 7, stepId: '3+1', task: 0 },
  ],
]

describe('ACCEPTANCE 8: a run lies under its caller’s own step', () => {
  let base: string
  beforeEach(() => {
    base = mkdtempSync(join(tmpdir(), 'hepwrap-layout-'))
  })
  afterEach(() => rmSync(base, { recursive: true }))

  it.each(layouts)('%s', (_, cgroup, expected) => {
    const { roots, procRoot } = makeNode(base, cgroup)
    const caller = { pid: 7, uid: 2001, startTimeTicks: 5 }
    const job = jobOf(caller, { roots, procRoot, slurmUid: process.getuid?.() ?? 0 })!
    const jobs = createJobTable(join(base, 'jobs'))
    jobs.announce({ job_id: 7, sluid: 'sEKNKTV3WPV500', user: 'alice' })
    const jobId = job.jobId ?? jobs.findBySluid(job.sluid!)?.job_id
    expect({ jobId, stepId: job.stepId, task: job.task }).toEqual({ task: undefined, ...expected })

    const { directories } = planPlacement(job.cgroup, RUN_ID, roots)
    const { v1, v2 } = parseCgroups(cgroup)
    const leaf = v1.get('memory') ?? v2!
    const root = v1.has('memory') ? roots.v1.get('memory')! : roots.v2
    const own = directories.filter((directory) => directory.own)
    expect(own.map(({ path }) => path)).toContain(`${root.mountPoint}${leaf}/hepwrap-${RUN_ID}`)
    for (const { path } of directories) expect(path).toMatch(/\/step_[^/]+(\/|$)/)
  })
})

/** A process with this /proc/PID/cgroup on a node where all directories that it names exist. */
function makeNode(base: string, cgroup: string) {
  const proc = join(base, 'proc', '7')
  mkdirSync(proc, { recursive: true })
  writeFileSync(join(proc, 'cgroup'), `${cgroup}\n`)
  writeFileSync(join(proc, 'status'), STATUS)
  writeFileSync(join(proc, 'stat'), `7 (x) S${' 0'.repeat(18)} 5 0\n`)
  const { v1, v2 } = parseCgroups(cgroup)
  const root = (name: string) => ({ mountPoint: join(base, 'cgroup', name), root: '/' })
  const roots = { v1: new Map([...v1.keys()].map((c) => [c, root(c)])), v2: root('unified') }
  for (const [controller, path] of v1)
    mkdirSync(root(controller).mountPoint + path, { recursive: true })
  mkdirSync(root('unified').mountPoint + (v2 ?? '/'), { recursive: true })
  return { roots, procRoot: join(base, 'proc') }
}
