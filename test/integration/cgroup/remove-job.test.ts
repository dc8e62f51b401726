// What the epilog removes of a job, in a tree of the test's own on the real kernel (cgroup v1), and v2's threaded child.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newRunId, parseJobId, type JobId } from '../../../src/base/ids.js'
import { removeEmpty } from '../../../src/cgroup/files.js'
import { killPlacement, pidsOf } from '../../../src/cgroup/kill.js'
import { enterPlacement, makePlacement, planPlacement } from '../../../src/cgroup/placement.js'
import { removeJobDirectories, removePlacement } from '../../../src/cgroup/remove.js'
import { readUsage } from '../../../src/cgroup/usage.js'
import { withDirectoryLock } from '../../../src/kernel/flock.js'
import { cgroupMounts } from '../../../src/proc/cgroup-mounts.js'
import { eventually } from '../../world/eventually.js'
import { makeOwnTree, type OwnTree } from './own-tree.js'

const JOB = parseJobId('7') as JobId

describe('removeJobDirectories', () => {
  let tree: OwnTree
  beforeAll(() => {
    tree = makeOwnTree()
  })
  afterAll(async () => {
    await tree.remove()
  })

  /** The test's tree as if it were the hierarchies' roots. */
  const roots = () => ({
    v1: new Map(['memory', 'pids'].map((c) => [c, { mountPoint: tree.top(c), root: '/' }])),
    v2: undefined,
  })
  const make = (controller: string, ...paths: string[]) => {
    for (const path of paths) mkdirSync(`${tree.top(controller)}/${path}`, { recursive: true })
  }
  const exists = (controller: string, path: string) => existsSync(`${tree.top(controller)}/${path}`)

  it('removes the job’s own tree and its user’s, and nothing else', async () => {
    make(
      'memory',
      'slurm_n1/uid_5/job_7/step_0/task_0/made/by/user',
      'slurm_n1/uid_6/job_7',
      'slurm_n1/uid_6/job_70',
    )
    make(
      'pids',
      'slurm/uid_5/job_7/step_0',
      'other/uid_5/job_7',
      'slurm/job_7',
      'slurm/uid_x/job_7',
    )
    expect(await removeJobDirectories(JOB, roots())).toBe(true)
    expect(exists('memory', 'slurm_n1/uid_5')).toBe(false)
    expect(exists('memory', 'slurm_n1/uid_6/job_7')).toBe(false)
    expect(exists('memory', 'slurm_n1/uid_6/job_70')).toBe(true)
    expect(exists('pids', 'slurm/uid_5')).toBe(false)
    for (const kept of ['other/uid_5/job_7', 'slurm/job_7', 'slurm/uid_x/job_7'])
      expect(exists('pids', kept)).toBe(true)
    expect(await removeJobDirectories(JOB, roots())).toBe(true)
  })

  it('keeps to its own node where several share a host', async () => {
    make('memory', 'slurm_n1/uid_5/job_7', 'slurm_n2/uid_5/job_7')
    expect(await removeJobDirectories(JOB, roots(), { nodeName: 'n2' })).toBe(true)
    expect(exists('memory', 'slurm_n1/uid_5/job_7')).toBe(true)
    expect(exists('memory', 'slurm_n2/uid_5')).toBe(false)
    await removeJobDirectories(JOB, roots())
  })

  it('says so where a process is left, and never ends it', async () => {
    make('memory', 'slurm_n1/uid_5/job_7/step_0', 'slurm_n1/uid_5/job_7/step_1')
    const { pid } = await tree.start('sleep 60')
    writeFileSync(`${tree.top('memory')}/slurm_n1/uid_5/job_7/step_0/cgroup.procs`, String(pid))
    expect(await removeJobDirectories(JOB, roots())).toBe(false)
    expect(exists('memory', 'slurm_n1/uid_5/job_7/step_0')).toBe(true)
    expect(exists('memory', 'slurm_n1/uid_5/job_7/step_1')).toBe(false)
    expect(() => process.kill(pid, 0)).not.toThrow()
    process.kill(pid, 'SIGKILL')
    expect(await removeJobDirectories(JOB, roots())).toBe(true)
  })

  it('leaves the user’s directory while slurmstepd holds its lock', async () => {
    make('memory', 'slurm_n1/uid_5/job_7')
    const holder = spawn('flock', ['--no-fork', tree.top('memory'), 'sleep', '60'])
    await eventually(() => withDirectoryLock(tree.top('memory'), () => true) === undefined)
    expect(await removeJobDirectories(JOB, roots())).toBe(true)
    expect(exists('memory', 'slurm_n1/uid_5/job_7')).toBe(false)
    expect(exists('memory', 'slurm_n1/uid_5')).toBe(true)
    holder.kill('SIGKILL')
    await once(holder, 'exit')
    make('memory', 'slurm_n1/uid_5/job_7')
    expect(await removeJobDirectories(JOB, roots())).toBe(true)
    expect(exists('memory', 'slurm_n1/uid_5')).toBe(false)
  })
})

describe('a placement on cgroup v2', () => {
  const roots = { v1: new Map(), v2: cgroupMounts().v2 }
  const top = `/hepwrap-unit-${process.pid}`
  const leaf = `${roots.v2?.mountPoint ?? ''}${top}`
  let tree: OwnTree | undefined
  beforeAll(() => {
    tree = makeOwnTree()
    mkdirSync(leaf)
  })
  afterAll(async () => {
    await tree?.remove()
    await eventually(() => removeEmpty(leaf))
  })
  const plan = () => planPlacement({ v1: new Map(), v2: top }, newRunId(), roots)

  it('is a threaded child of the leaf: entered, counted, killed and removed', async () => {
    const inLeaf = await tree?.start('sleep 60')
    writeFileSync(`${leaf}/cgroup.procs`, String(inLeaf?.pid)) // the client
    const placement = plan()
    makePlacement(placement)
    const path = placement.directories[0]?.path ?? ''
    expect(readFileSync(`${path}/cgroup.type`, 'utf8')).toBe('threaded\n')
    const started = await tree?.start(
      'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; sleep 60 & wait',
    )
    enterPlacement(placement, started?.pid ?? 0)
    started?.go()
    await eventually(() => pidsOf(placement).length === 2)
    expect(pidsOf(placement)).toContain(started?.pid)
    expect(readUsage(placement).cpuUserUsec).toBeGreaterThan(10_000)
    await killPlacement(placement)
    expect(() => process.kill(inLeaf?.pid ?? 0, 0)).not.toThrow()
    expect(await removePlacement(placement)).toBe(true)
    expect(existsSync(path)).toBe(false)
  })

  it('takes no memory limit, and no other where the job has no such controller', () => {
    for (const limits of [{ memoryBytes: 1e8 }, { cpus: 1 }, { pidsMax: 5 }]) {
      const placement = plan()
      expect(() => {
        makePlacement(placement, limits)
      }).toThrow(expect.objectContaining({ code: 'HW_OPTION_INVALID' }))
      expect(existsSync(placement.directories[0]?.path ?? '')).toBe(false)
    }
  })
})
