// ACCEPTANCE 8 for the trees that the Slurm of the test world cannot make: process → job → where its run is placed → what
// the epilog removes, on directories named as Slurm names them (fixtures/README.md).
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parseJobId, type JobId, type RunId } from '../../../src/base/ids.js'
import { planPlacement } from '../../../src/cgroup/placement.js'
import { removeJobDirectories } from '../../../src/cgroup/remove.js'
import { slurmRootsV1, slurmRootsV2 } from '../../../src/cgroup/slurm-trees.js'
import { cgroupMounts } from '../../../src/proc/cgroup-mounts.js'
import { parseMounts } from '../../../src/proc/mount-info.js'
import { jobOf } from '../../../src/slurm/job-of.js'
import { createJobTable } from '../../../src/slurm/job-table.js'

const RUN_ID = 'c'.repeat(32) as RunId
const SLUID = 'sEKNKTV3WPV500'
const STATUS = 'State:\tS (sleeping)\nUmask:\t0022\nUid:\t1\t1\t1\t1\nGid:\t1\t1\t1\t1\nGroups:\t\n'

interface Layout {
  readonly fixture: string
  /** Announced for the SLUID where the tree has one. */
  readonly jobId: number
  readonly step: string
  readonly roots: readonly string[]
  /** Where in the hierarchy of memory the second task's run lies. */
  readonly leaf: string
}

const V2_ROOT = '/system.slice/slurmstepd.scope'
const SLICE_ROOT = '/batch.slice/batch-slurm.slice/n1_slurmstepd.scope'

const layouts: readonly Layout[] = [
  {
    fixture: 'slurm-22.05-v1',
    jobId: 1,
    step: '0',
    roots: 'cpuacct cpuset memory devices freezer'.split(' ').map((c) => `/${c}/slurm_n1`),
    leaf: '/memory/slurm_n1/uid_2001/job_1/step_0/task_1',
  },
  {
    fixture: 'slurm-22.05-v2',
    jobId: 7,
    step: '0',
    roots: [V2_ROOT],
    leaf: `${V2_ROOT}/job_7/step_0/user/task_1`,
  },
  {
    fixture: 'slurm-24.11-debian',
    jobId: 1,
    step: '0',
    roots: ['/system.slice/lab_slurmstepd.scope'],
    leaf: '/system.slice/lab_slurmstepd.scope/job_1/step_0/user/task_1',
  },
  {
    fixture: 'slurm-26.05-sluid',
    jobId: 12,
    step: '3',
    roots: [V2_ROOT],
    leaf: `${V2_ROOT}/${SLUID}/step_3/user/task_1`,
  },
  {
    fixture: 'slurm-26.05-slice',
    jobId: 12,
    step: 'batch',
    roots: [SLICE_ROOT],
    leaf: `${SLICE_ROOT}/${SLUID}/step_batch/user/task_1`,
  },
]

describe('ACCEPTANCE 8: a run lies under its caller’s own step', () => {
  let base: string
  beforeEach(() => {
    base = mkdtempSync(join(tmpdir(), 'hepwrap-layout-'))
  })
  afterEach(() => rmSync(base, { recursive: true }))

  it.each(layouts)('$fixture', async ({ fixture, ...expected }) => {
    const { roots, procRoot, top } = makeNode(base, fixture)
    expect([...slurmRootsV1(roots), ...slurmRootsV2(roots)].map(below(top))).toEqual(expected.roots)

    const slurmUid = process.getuid?.() ?? 0
    const job = jobOf({ pid: 7, uid: 2001, startTimeTicks: 5 }, { roots, procRoot, slurmUid })!
    const jobs = createJobTable(join(base, 'jobs'))
    jobs.announce({ job_id: expected.jobId, sluid: SLUID, user: 'alice' })
    expect(job.jobId ?? jobs.findBySluid(job.sluid!)?.job_id).toBe(expected.jobId)
    expect([job.stepId, job.task]).toEqual([expected.step, 1])

    const { directories } = planPlacement(job.cgroup, RUN_ID, roots)
    const own = directories.filter((directory) => directory.own).map(({ path }) => path)
    expect(own.map(below(top))).toContain(`${expected.leaf}/hepwrap-${RUN_ID}`)

    const jobId = parseJobId(String(expected.jobId)) as JobId
    const { sluid } = jobs.end(jobId)
    expect(await removeJobDirectories(jobId, roots, { sluid, nodeName: 'other' })).toBe(true)
    expect(existsSync(top + expected.leaf)).toBe(expected.roots.every((root) => root !== V2_ROOT))
    expect(await removeJobDirectories(jobId, roots, { sluid })).toBe(true)
    expect(existsSync(top + expected.leaf)).toBe(false)
    for (const root of expected.roots) expect(existsSync(top + root)).toBe(true)
  })
})

const below = (top: string) => (path: string) => path.slice(top.length)

/** The node of a fixture, with the process 7 in it; all of it below `base`. */
function makeNode(base: string, fixture: string) {
  const text = (name: string) =>
    readFileSync(join(import.meta.dirname, 'fixtures', fixture, name), 'utf8')
  const proc = join(base, 'proc', '7')
  mkdirSync(proc, { recursive: true })
  writeFileSync(join(proc, 'cgroup'), text('cgroup'))
  writeFileSync(join(proc, 'status'), STATUS)
  writeFileSync(join(proc, 'stat'), `7 (x) S${' 0'.repeat(18)} 5 0\n`)
  const mounts = parseMounts(text('mountinfo')).map((mount) => ({
    ...mount,
    mountPoint: base + mount.mountPoint,
  }))
  for (const directory of text('tree').trim().split('\n'))
    mkdirSync(base + directory, { recursive: true })
  return {
    roots: cgroupMounts(mounts),
    procRoot: join(base, 'proc'),
    top: `${base}/sys/fs/cgroup`,
  }
}
