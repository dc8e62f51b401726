import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { RunId } from '../../../src/base/ids.js'
import { planPlacement } from '../../../src/cgroup/placement.js'
import { cgroupMounts } from '../../../src/proc/cgroup-mounts.js'
import { parseCgroups } from '../../../src/proc/cgroup-of.js'
import { parseMounts } from '../../../src/proc/mount-info.js'

const ID = '0123456789abcdef0123456789abcdef' as RunId
const text = (path: string) => readFileSync(join(import.meta.dirname, '..', path), 'utf8')
const HYBRID = cgroupMounts(parseMounts(text('proc/fixtures/mountinfo-hybrid')))
const TASK_V1 = parseCgroups(text('slurm/fixtures/slurm-22.05-v1-task.cgroup'))
const TASK_V2 = parseCgroups(text('slurm/fixtures/slurm-24.11-v2-task.cgroup'))
const UNIFIED = cgroupMounts(
  parseMounts('30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n'),
)

describe('planPlacement', () => {
  it('puts a directory at the caller’s own depth in each v1 hierarchy', () => {
    const step = '/slurm_n1/uid_2001/job_1/step_0'
    const own = `hepwrap-${ID}`
    const { version, directories } = planPlacement(TASK_V1, ID, HYBRID)
    expect(version).toBe(1)
    expect(
      directories.map(({ controller, path, own: isOwn }) => [controller, path, isOwn]),
    ).toEqual([
      ['memory', `/sys/fs/cgroup/memory${step}/task_0/${own}`, true],
      ['cpuset', `/sys/fs/cgroup/cpuset${step}/${own}`, true],
      ['devices', `/sys/fs/cgroup/devices${step}/task_0/${own}`, true],
      ['cpuacct', `/sys/fs/cgroup/cpuacct${step}/task_0/${own}`, true],
      ['cpu', `/sys/fs/cgroup/cpu/${own}`, true],
      ['pids', `/sys/fs/cgroup/pids/${own}`, true],
      ['blkio', `/sys/fs/cgroup/blkio/${own}`, true],
      ['freezer', `/sys/fs/cgroup/freezer${step}`, false],
    ])
  })

  it('makes one directory for co-mounted controllers', () => {
    const roots = cgroupMounts(
      parseMounts(
        '1 0 0:1 / /c/cpu rw - cgroup c rw,cpu,cpuacct\n2 0 0:2 / /c/memory rw - cgroup c rw,memory\n',
      ),
    )
    const { directories } = planPlacement(
      parseCgroups('2:cpu,cpuacct:/s\n1:memory:/s/t\n'),
      ID,
      roots,
    )
    expect(directories).toEqual([
      { controller: 'memory', path: `/c/memory/s/t/hepwrap-${ID}`, own: true },
      { controller: 'cpuacct,cpu', path: `/c/cpu/s/hepwrap-${ID}`, own: true },
    ])
  })

  it('makes one directory below the leaf on v2', () => {
    expect(planPlacement(TASK_V2, ID, UNIFIED)).toEqual({
      version: 2,
      directories: [
        {
          controller: 'cgroup2',
          path: `/sys/fs/cgroup/system.slice/lab_slurmstepd.scope/job_12/step_0/user/task_0/hepwrap-${ID}`,
          own: true,
        },
      ],
    })
  })

  it.each([
    ['above our cgroup namespace', parseCgroups('4:memory:/../x\n0::/\n'), HYBRID],
    ['on v2 above it', parseCgroups('0::/../x\n'), UNIFIED],
    ['nowhere', parseCgroups('0::/\n'), { v1: new Map(), v2: undefined }],
  ])('refuses a caller %s', (_, membership, roots) => {
    expect(() => planPlacement(membership, ID, roots)).toThrow(
      expect.objectContaining({ code: 'HW_CGROUP_FAILED' }),
    )
  })
})
