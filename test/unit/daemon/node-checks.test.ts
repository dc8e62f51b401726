import { describe, expect, it } from 'vitest'
import { faultsOf } from '../../../src/daemon/node-checks.js'
import type { SlurmConf } from '../../../src/slurm/slurm-conf.js'

const FIT: SlurmConf = {
  path: '/etc/slurm/slurm.conf',
  processTracking: 'proctrack/cgroup',
  taskPlugins: ['task/affinity', 'task/cgroup'],
  accountGathering: 'jobacct_gather/cgroup',
  cgroupPlugin: 'autodetect',
  constrains: ['Cores', 'RAMSpace'],
}

describe('what of Slurm’s configuration lets containers out of their limits', () => {
  it('nothing, on a fit node', () => {
    for (const version of [1, 2] as const) {
      expect(faultsOf(FIT, version)).toEqual([])
      expect(faultsOf({ ...FIT, cgroupPlugin: `cgroup/v${version}` }, version)).toEqual([])
    }
  })

  it.each<[Partial<SlurmConf>, string, string]>([
    [
      { processTracking: 'proctrack/linuxproc' },
      'ProctrackType=proctrack/linuxproc',
      'proctrack/cgroup',
    ],
    [{ taskPlugins: ['task/affinity'] }, 'TaskPlugin=task/affinity', 'task/affinity,task/cgroup'],
    [{ constrains: ['Cores'] }, 'ConstrainRAMSpace=no', 'ConstrainRAMSpace=yes'],
    [{ cgroupPlugin: 'cgroup/v1' }, 'CgroupPlugin=cgroup/v1', 'CgroupPlugin=autodetect'],
    [{ cgroupPlugin: 'disabled' }, 'CgroupPlugin=disabled', 'CgroupPlugin=autodetect'],
  ])('%j', (conf, found, mend) => {
    const faults = faultsOf({ ...FIT, ...conf }, 2)
    expect(faults).toHaveLength(1)
    expect(faults[0]?.found).toContain(found)
    expect(faults[0]?.mend).toContain(mend)
  })
})
