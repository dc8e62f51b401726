// Devices of the node (13): a job opens what Slurm gave it, and a container no more than its job.
// The devices /dev/hepgpu0 and 1 are the node's gpu. Nothing but the engine makes a node that a container can open, so the
// test puts some into a container's /dev as root: only Slurm's and the engine's filters are left to say no.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Daemon, startDaemon, stopDaemons } from '../world/daemon.js'
import { eventually } from '../world/eventually.js'
import { cgroupVersion, leftovers, nothing } from '../world/traces.js'
import { as, expectSuccess } from '../world/world.js'
import { type HeldRun, holdRun, statusField } from './held-run.js'

const nodes = '/srv/device-nodes'
let daemon: Daemon

beforeAll(async () => {
  daemon = await startDaemon()
  if (!existsSync(nodes)) {
    mkdirSync(nodes)
    const copy = `for name in hepgpu0 hepgpu1 null; do cp -a /dev/$name ${nodes}/; done
      mknod -m 0666 ${nodes}/kmsg c 1 11; mknod -m 0666 ${nodes}/fuse c 10 229`
    expectSuccess(await as('root').run(['sh', '-c', copy]))
  }
})
afterAll(async () => {
  await stopDaemons()
  expect(await leftovers()).toEqual(nothing)
})

/** Prints for each device "NAME open" or "NAME errno"; the open(2) alone is what the devices cgroup judges. */
const open = (directory: string) =>
  ['null', 'hepgpu0', 'hepgpu1', 'kmsg', 'fuse']
    .map((name) => `if (exec 3<${directory}/${name}) 2>/dev/null; then echo ${name}; fi`)
    .join('; ')

const opened = (stdout: string) => stdout.trim().split('\n').filter(Boolean)

interface Look {
  readonly run: HeldRun
  /** What a shell in the container can open of its /dev, with the test's nodes in it. */
  readonly look: () => Promise<string[]>
}

// A second look is wanted after rules have changed: so a shell that reads its stdin.
async function lookInside(before: string[] = ['srun', '-Q']): Promise<Look> {
  const run = await holdRun('alice', before, [], { command: ['sh'] })
  const dev = `/proc/${run.initPid}/root/dev`
  const copy = `for name in hepgpu0 hepgpu1 kmsg fuse; do cp -a ${nodes}/$name ${dev}/; done`
  expectSuccess(await as('root').run(['sh', '-c', copy]))
  const look = async () => {
    const from = run.stdoutSoFar().length
    run.child.stdin?.write(`${open('/dev')}; echo .\n`)
    const told = await eventually(
      () => /^((?:\w+\n)*)\.\n/.exec(run.stdoutSoFar().slice(from)) ?? undefined,
    )
    return opened(told[1] ?? '')
  }
  return { run, look }
}

describe('ACCEPTANCE 13: a device that the job did not ask for cannot be opened', () => {
  it('by a job without gres: none', async () => {
    const caller = expectSuccess(await as('alice').srun(['-Q', 'sh', '-c', open(nodes)]))
    expect(opened(caller.stdout)).not.toContain('hepgpu0')
    expect(opened(caller.stdout)).not.toContain('hepgpu1')
    const { run, look } = await lookInside()
    // On v2 Slurm's filter is the only one, and it names the gres.
    expect(await look()).toEqual(cgroupVersion === 1 ? ['null'] : opened(caller.stdout))
    await run.release()
  })

  it('by a job with one gpu: not the other', async () => {
    const gres = ['-Q', '--gres=gpu:1']
    const caller = expectSuccess(await as('alice').srun([...gres, 'sh', '-c', open(nodes)]))
    expect(opened(caller.stdout)).toContain('hepgpu0')
    expect(opened(caller.stdout)).not.toContain('hepgpu1')
    const { run, look } = await lookInside(['srun', ...gres])
    const inside = await look()
    expect(inside).not.toContain('hepgpu1')
    if (cgroupVersion === 1) expect(inside).not.toContain('kmsg')
    else expect(inside).toEqual(opened(caller.stdout))
    await run.release()
  })

  it('by a job with a gpu: not through a mount, its own neither', async () => {
    const run = ['hepwrap', 'run', '-v', `${nodes}:/nodes`, 'busybox:test']
    const inside = [...run, 'sh', '-c', `${open('/nodes')}; ls /nodes`]
    const { stdout } = expectSuccess(await as('alice').srun(['-Q', '--gres=gpu:1', ...inside]))
    expect(opened(stdout)).toEqual(['fuse', 'hepgpu0', 'hepgpu1', 'kmsg', 'null'])
  })

  it('by name of docker’s option: it is refused', async () => {
    const run = ['hepwrap', 'run', '--device', '/dev/hepgpu0', 'busybox:test', 'true']
    const { status, stderr } = await as('alice').srun(['-Q', '--gres=gpu:1', ...run])
    expect(status).toBe(125)
    expect(stderr).toContain('(HW_OPTION_FORBIDDEN')
  })

  it('by mounting it, or the directory of it: refused', async () => {
    for (const source of ['/dev/hepgpu0', '/dev', `${nodes}/hepgpu0`]) {
      const run = ['hepwrap', 'run', '-v', `${source}:/x`, 'busybox:test', 'true']
      const { status, stderr } = await as('alice').srun(['-Q', '--gres=gpu:1', ...run])
      expect(status).toBe(125)
      expect(stderr).toMatch(/\(HW_MOUNT_(REFUSED|SOURCE)/)
    }
  })
})

const onV1 = cgroupVersion === 1 ? describe : () => undefined
onV1("the run's own devices directory", () => {
  const directoryOf = (run: { cgroups: Record<string, string> }) =>
    `/sys/fs/cgroup/devices${run.cgroups['devices']!}`
  const allow = (directory: string, rule: string) => {
    try {
      writeFileSync(`${directory}/devices.allow`, rule)
      return 'taken'
    } catch (error) {
      return (error as NodeJS.ErrnoException).code
    }
  }

  it("inherits Slurm's filter: nothing that root writes there opens another job's gpu", async () => {
    const { run, look } = await lookInside(['srun', '-Q', '--gres=gpu:1'])
    expect(run.cgroups['devices']).toMatch(/\/job_\d+\/step_0\/task_0\/hepwrap-/)
    expect(await look()).toEqual(['null'])
    const directory = directoryOf(run)
    expect(allow(directory, 'c 203:1 rw')).toBe('EPERM')
    expect(allow(directory, 'c 203:0 rw')).toBe('taken')
    expect(await look()).toEqual(['null', 'hepgpu0'])
    // "a" takes the filter above for its own, exceptions included.
    expect(allow(directory, 'a')).toBe('taken')
    expect(await look()).not.toContain('hepgpu1')
    expect(await look()).toContain('fuse')
    await run.release()
  })

  it('without gres takes a rule for neither', async () => {
    const run = await holdRun('alice')
    expect(allow(directoryOf(run), 'c 203:0 rw')).toBe('EPERM')
    expect(allow(directoryOf(run), 'c 203:1 rw')).toBe('EPERM')
    await run.release()
  })

  it("holds the engine's filter as well: what Slurm lets pass, a container does not get by itself", async () => {
    const run = await holdRun('alice')
    expect(statusField(run.payloadPid, 'CapEff')).toBe('0000000000000000')
    const { stdout } = expectSuccess(
      await as('root').run(['cat', `${directoryOf(run)}/devices.list`]),
    )
    const rules = stdout.trim().split('\n')
    expect(rules).not.toContain('a *:* rwm')
    expect(rules).toEqual(expect.arrayContaining(['c 1:3 rwm', 'c 5:2 rwm', 'c 136:* rwm']))
    expect(rules.filter((rule) => /^b \d|^c (1:1 |1:2 |1:11 |10:)/.test(rule))).toEqual([])
    await run.release()
    expect(daemon.log().length).toBeGreaterThan(0)
  })
})
