// The test world itself: what every other test here takes for granted.
import { describe, expect, it } from 'vitest'
import { as, waitJob } from '../world/world.js'
import {
  cgroupsBelow,
  cgroupsOf,
  complaints,
  containers,
  logSince,
  pathIn,
} from '../world/traces.js'
import { eventually } from '../world/eventually.js'
import { startOnTerminal } from '../world/terminal.js'

describe('the test world', () => {
  it('runs commands as users with their groups', async () => {
    const { status, stdout } = await as('alice').run(['id'])
    expect(status).toBe(0)
    expect(stdout).toBe('uid=2001(alice) gid=2001(alice) groups=2001(alice),3000(atlas)\n')
  })

  it('passes input, output, status and signals through srun', async () => {
    const { status, stdout, stderr } = await as('bob').srun(
      ['sh', '-c', 'cat; echo problem >&2; exit 7'],
      { input: 'words' },
    )
    expect({ status, stdout }).toEqual({ status: 7, stdout: 'words' })
    expect(stderr).toContain('problem\n')
    const cat = as('alice').startSrun(['-Q', 'cat'])
    cat.child.stdin?.write('early\n')
    await eventually(() => cat.stdoutSoFar() === 'early\n')
    cat.child.stdin?.end()
    expect((await cat.result).status).toBe(0)
  })

  it('runs batch jobs to their end and leaves nothing of them', async () => {
    const log = logSince('slurmd-n1')
    const { id, output } = await as('alice').sbatch('srun cat /proc/self/cgroup; exit 3')
    const { state, exitCode, signal } = await waitJob(id)
    expect({ state, exitCode, signal }).toEqual({ state: 'FAILED', exitCode: 3, signal: 0 })
    expect(pathIn(cgroupsOf('self', output()))).toMatch(
      new RegExp(`/job_${id}/step_0/(user/)?task_0$`),
    )
    expect(cgroupsBelow(new RegExp(`/job_${id}(/|$)`))).toEqual([])
    expect(complaints(log())).toEqual([])
  })

  it('cancels jobs', async () => {
    const { id } = await as('alice').sbatch('sleep 60')
    await as('alice').scancel(id)
    expect((await waitJob(id)).state).toBe('CANCELLED')
  })

  it('gives users terminals with a size and Ctrl-C', async () => {
    const script =
      'stty size; trap "stty size" WINCH; trap "exit 5" INT; while sleep 0.05; do :; done'
    const shell = await startOnTerminal('alice', ['bash', '-c', script])
    await eventually(() => shell.stdoutSoFar().includes('24 80'))
    await shell.resize(30, 100)
    await eventually(() => shell.stdoutSoFar().includes('30 100'))
    shell.type('\x03')
    expect((await shell.result).status).toBe(5)
  })

  it('has an engine with the test images and no containers', async () => {
    expect(await containers()).toEqual([])
    const docker = ['docker', 'run', '--rm', 'busybox:test', 'id', '-u']
    const { status, stdout } = await as('root').run(docker)
    expect({ status, stdout }).toEqual({ status: 0, stdout: '0\n' })
  })
})
