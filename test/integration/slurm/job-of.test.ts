// The job of a process under the world's own Slurm, and what its user can do to the directories that say so.
import { afterEach, describe, expect, it } from 'vitest'
import { jobOf } from '../../../src/slurm/job-of.js'
import { readProcess } from '../../../src/proc/process.js'
import { eventually } from '../../world/eventually.js'
import { as, type Running } from '../../world/world.js'

describe('jobOf', () => {
  const running: Running[] = []
  afterEach(async () => {
    for (const each of running.splice(0)) {
      each.kill('SIGTERM')
      await each.result
    }
  })

  /** Runs a script in a step of alice's; it says its pid when it has done what it wants to. */
  const startStep = async (script: string, ...args: string[]) => {
    const step = as('alice').startSrun([
      ...args,
      'bash',
      '-c',
      `${script}\necho "pid $$ job $SLURM_JOB_ID"; sleep 60`,
    ])
    running.push(step)
    const said = await eventually(
      () => /^pid (\d+) job (\d+)$/m.exec(step.stdoutSoFar()) ?? undefined,
      { timeoutMs: 20_000 },
    )
    const pid = Number(said[1])
    const { startTimeTicks = 0 } = readProcess(pid) ?? {}
    return { jobId: Number(said[2]), process: { pid, uid: 2001, startTimeTicks } }
  }

  it('is what Slurm says it is', async () => {
    const { jobId, process } = await startStep('')
    expect(jobOf(process)).toMatchObject({ jobId, stepId: '0', task: 0 })
    expect(jobOf({ ...process, uid: 0 })).toMatchObject({ jobId })
    expect(() => jobOf({ ...process, uid: 2002 })).toThrow(
      expect.objectContaining({ code: 'HW_JOB_MISMATCH' }),
    )
  })

  it('knows nothing of a process outside', () => {
    const { startTimeTicks = 0 } = readProcess(process.pid) ?? {}
    expect(jobOf({ pid: process.pid, uid: 0, startTimeTicks })).toBeUndefined()
  })

  it('stays the same whatever directories the user makes and renames below his step', async () => {
    const { jobId, process } = await startStep(`
      own=/sys/fs/cgroup/memory$(sed -n 's/.*:memory://p' /proc/self/cgroup)
      mkdir -p $own/slurm_n1/uid_2002/job_999/step_0/task_0 || exit 1
      mv $own $own-renamed
      own=$own-renamed
      echo $$ > $own/slurm_n1/uid_2002/job_999/step_0/task_0/cgroup.procs
      mkdir $own/../../../job_999 && echo forged`)
    const job = jobOf(process)
    expect(job).toMatchObject({ jobId, stepId: '0' })
    expect(job?.cgroup.v1.get('memory')).toContain('job_999/step_0/task_0')
    expect(running[0]?.stdoutSoFar()).not.toContain('forged')
  })
})
