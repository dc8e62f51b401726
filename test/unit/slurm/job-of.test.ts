import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parseCgroups } from '../../../src/proc/cgroup-of.js'
import { jobOf } from '../../../src/slurm/job-of.js'

const V1 = readFileSync(join(import.meta.dirname, 'fixtures/slurm-22.05-v1-task.cgroup'), 'utf8')
const SECOND_NODE = readFileSync(
  join(import.meta.dirname, 'fixtures/slurm-22.05-v1-second-node.cgroup'),
  'utf8',
)
const V2 = readFileSync(join(import.meta.dirname, 'fixtures/slurm-24.11-v2-task.cgroup'), 'utf8')
const STATUS = 'State:\tS (sleeping)\nUmask:\t0022\nUid:\t1\t1\t1\t1\nGid:\t1\t1\t1\t1\nGroups:\t\n'

describe('jobOf', () => {
  let base: string
  beforeEach(() => {
    base = mkdtempSync(join(tmpdir(), 'hepwrap-job-'))
  })
  afterEach(() => {
    rmSync(base, { recursive: true })
  })

  /** A process with this /proc/PID/cgroup on a node where all directories that it names exist. */
  const node = (cgroup: string, startTimeTicks = 5) => {
    const proc = join(base, 'proc', '7')
    mkdirSync(proc, { recursive: true })
    writeFileSync(join(proc, 'cgroup'), cgroup)
    writeFileSync(join(proc, 'status'), STATUS)
    writeFileSync(join(proc, 'stat'), `7 (x) S${' 0'.repeat(18)} ${startTimeTicks} 0\n`)
    const { v1, v2 } = parseCgroups(cgroup)
    const root = (name: string) => ({ mountPoint: join(base, 'cgroup', name), root: '/' })
    const roots = { v1: new Map([...v1.keys()].map((c) => [c, root(c)])), v2: root('unified') }
    for (const [controller, path] of v1)
      mkdirSync(join(base, 'cgroup', controller, path), { recursive: true })
    mkdirSync(join(base, 'cgroup', 'unified', v2 ?? '/'), { recursive: true })
    return (uid: number, slurmUid = process.getuid?.() ?? 0) =>
      jobOf({ pid: 7, uid, startTimeTicks: 5 }, { roots, procRoot: join(base, 'proc'), slurmUid })
  }
  const refused = (code: string): unknown => expect.objectContaining({ code })

  it('knows a task of Slurm 22.05 on cgroup v1, each controller at its own depth', () => {
    const job = node(V1)(2001)
    expect(job).toMatchObject({ jobId: 1, sluid: undefined, stepId: '0', task: 0 })
    expect(job?.cgroup.v1.get('freezer')).toBe('/slurm_n1/uid_2001/job_1/step_0')
  })

  it('knows a task on a second node, whose number in the step only cpuacct tells', () => {
    expect(node(SECOND_NODE)(2001)).toMatchObject({ jobId: 1, stepId: '0', task: 3 })
    const combined = SECOND_NODE.replace('2:cpuacct:', '2:cpu,cpuacct:').replace('1:cpu:/\n', '')
    expect(node(combined)(2001)).toMatchObject({ task: 3 })
    expect(node(SECOND_NODE.replace(/^2:cpuacct:.*\n/m, ''))(2001)).toMatchObject({ task: 1 })
  })

  it('knows a task of Slurm 24.11 on cgroup v2, and one of 26.05', () => {
    expect(node(V2)(2001)).toMatchObject({ jobId: 12, stepId: '0', task: 0 })
    expect(node(V2.replace('job_12', 'sEKNKTV3WPV500'))(2001)).toMatchObject({
      jobId: undefined,
      sluid: 'sEKNKTV3WPV500',
      stepId: '0',
    })
  })

  it('finds no job outside of Slurm’s tree', () => {
    expect(
      node('4:memory:/user.slice\n0::/user.slice/user-2001.slice/session-1.scope\n')(2001),
    ).toBeUndefined()
    expect(node('0::/system.slice/slurmstepd.scope/system\n')(0)).toBeUndefined()
  })

  it('finds no job in a tree of the user’s own, whatever he calls his directories', () => {
    const own = '/user.slice/user-2001.slice/user@2001.service'
    expect(
      node(`0::${own}/system.slice/slurmstepd.scope/job_12/step_0/user/task_0\n`)(2001),
    ).toBeUndefined()
    expect(node(`4:name=systemd:${own}/slurm/uid_2001/job_12/step_0\n0::/\n`)(2001)).toBeUndefined()
  })

  it.each([
    [
      'another job',
      V1.replace('cpuacct:/slurm_n1/uid_2001/job_1/', 'cpuacct:/slurm_n1/uid_2001/job_2/'),
    ],
    [
      'another step',
      V1.replace(
        'freezer:/slurm_n1/uid_2001/job_1/step_0',
        'freezer:/slurm_n1/uid_2001/job_1/step_1',
      ),
    ],
    ['another user', V1.replace('cpuset:/slurm_n1/uid_2001', 'cpuset:/slurm_n1/uid_2002')],
    ['another node', V1.replace('cpuset:/slurm_n1', 'cpuset:/slurm_n2')],
    [
      'another job in the unified tree',
      V1.replace('0::/', '0::/system.slice/slurmstepd.scope/job_2/step_0'),
    ],
  ])('refuses hierarchies of which one says %s', (_, cgroup) => {
    expect(cgroup).not.toBe(V1)
    expect(() => node(cgroup)(2001)).toThrow(refused('HW_JOB_MISMATCH'))
  })

  it('refuses another user’s job, but not to root', () => {
    expect(() => node(V1)(2002)).toThrow(refused('HW_JOB_MISMATCH'))
    expect(node(V1)(0)).toMatchObject({ jobId: 1 })
  })

  it.runIf(process.getuid?.() === 0)(
    'takes a task’s directory that is its user’s on v2, as 22.05 makes it, and nobody else’s',
    () => {
      const jobOfCaller = node(V2)
      const task = join(base, 'cgroup/unified', /^0::(.*)$/m.exec(V2)![1]!)
      chownSync(task, 2001, 2001)
      expect(jobOfCaller(2001)).toMatchObject({ jobId: 12, task: 0 })
      expect(() => jobOfCaller(2002)).toThrow(refused('HW_JOB_MISMATCH'))
      chmodSync(task, 0o777)
      expect(() => jobOfCaller(2001)).toThrow(refused('HW_JOB_MISMATCH'))
      chmodSync(task, 0o755)
      chownSync(join(task, '..'), 2001, 2001)
      expect(() => jobOfCaller(2001)).toThrow(refused('HW_JOB_MISMATCH'))
    },
  )

  it('refuses directories that are not Slurm’s', () => {
    expect(() => node(V1)(2001, 12345)).toThrow(refused('HW_JOB_MISMATCH'))
    expect(() => node(V2)(2001, 12345)).toThrow(refused('HW_JOB_MISMATCH'))
  })

  it.each([
    'slurm', // slurmstepd's own: nothing there is limited, signalled or counted as a task
    'other/task_0',
    'user',
  ])('refuses a process of a v2 step that sits in %s', (place) => {
    const cgroup = V2.replace('user/task_0', place)
    expect(() => node(cgroup)(2001)).toThrow(refused('HW_JOB_MISMATCH'))
    expect(() => node(cgroup)(0)).toThrow(/no place of a task/)
  })

  it.each([
    'system.slice',
    'system.slice/lab_slurmstepd.scope',
    'system.slice/lab_slurmstepd.scope/job_12/step_0/user/task_0',
  ])('refuses a v2 tree in which others may write to %s', (path) => {
    const ask = node(V2)
    expect(ask(2001)).toBeDefined()
    chmodSync(join(base, 'cgroup/unified', path), 0o777)
    expect(() => ask(2001)).toThrow(refused('HW_JOB_MISMATCH'))
  })

  it.each([
    ['memory', 'slurm_n1'],
    ['memory', 'slurm_n1/uid_2001'],
    ['devices', 'slurm_n1/uid_2001/job_1'],
    ['freezer', 'slurm_n1/uid_2001/job_1/step_0'],
  ])('refuses a %s hierarchy in which others may write to %s', (controller, path) => {
    const ask = node(V1)
    chmodSync(join(base, 'cgroup', controller, path), 0o775)
    expect(() => ask(2001)).toThrow(refused('HW_JOB_MISMATCH'))
  })

  it('refuses a path that is missing or no directory', () => {
    const ask = node(V2)
    rmSync(join(base, 'cgroup/unified/system.slice'), { recursive: true })
    expect(() => ask(2001)).toThrow(refused('HW_JOB_MISMATCH'))
    symlinkSync('/', join(base, 'cgroup/unified/system.slice'))
    expect(() => ask(2001)).toThrow(refused('HW_JOB_MISMATCH'))
  })

  it('refuses a hierarchy that it cannot see', () => {
    const ask = node(V1)
    expect(ask(2001)).toBeDefined()
    const roots = { v1: new Map(), v2: undefined }
    const seams = { roots, procRoot: join(base, 'proc') }
    expect(() => jobOf({ pid: 7, uid: 2001, startTimeTicks: 5 }, seams)).toThrow(
      refused('HW_JOB_MISMATCH'),
    )
  })

  it('refuses a pid that has changed hands, and one that is gone', () => {
    expect(() => node(V1, 6)(2001)).toThrow(refused('HW_CALLER_UNKNOWN'))
    const gone = { pid: 8, uid: 2001, startTimeTicks: 5 }
    expect(() => jobOf(gone, { procRoot: join(base, 'proc') })).toThrow(
      refused('HW_CALLER_UNKNOWN'),
    )
  })
})
