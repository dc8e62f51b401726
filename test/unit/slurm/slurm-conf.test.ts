import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readSlurmConf } from '../../../src/slurm/slurm-conf.js'

const SLURM = `# a site's
ClusterName=hepp
proctracktype = proctrack/cgroup   # keys in any case
TaskPlugin=task/affinity,task/cgroup
JobAcctGatherFrequency=task=30,\\
network=30
Include more.conf
NodeName=n1 CPUs=2
`
const CGROUP =
  'CgroupPlugin=cgroup/v2\nConstrainRAMSpace=YES\nConstrainCores=no\nConstrainDevices=1\n'

describe('readSlurmConf', () => {
  let proc: string
  beforeEach(() => {
    proc = mkdtempSync(join(tmpdir(), 'hepwrap-conf-'))
  })
  afterEach(() => rmSync(proc, { recursive: true }))

  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(proc, path)), { recursive: true })
    writeFileSync(join(proc, path), text)
  }
  /** A process with a file system of its own. */
  const slurmd = (pid: number, words: string[], { uid = 0, environ = '' } = {}) => {
    write(`${pid}/comm`, 'slurmd\n')
    write(`${pid}/cmdline`, `${['/usr/sbin/slurmd', ...words].join('\0')}\0`)
    write(`${pid}/environ`, environ)
    const ids = Array(4).fill(uid).join('\t')
    write(`${pid}/status`, `State:\tS\nUmask:\t0022\nUid:\t${ids}\nGid:\t0\t0\t0\t0\nGroups:\t\n`)
    write(`${pid}/stat`, `${pid} (slurmd) S${' 0'.repeat(18)} 5 0\n`)
  }

  it('reads what the slurmd of this node was told to read', () => {
    slurmd(10, ['-N', 'n2', '-f', '/other.conf'])
    slurmd(11, ['-D', '-f/etc/site/slurm.conf', '-N', 'n1'])
    write('10/root/other.conf', 'ProctrackType=proctrack/pgid\n')
    write('11/root/etc/site/slurm.conf', SLURM)
    write('11/root/etc/site/more.conf', 'JobAcctGatherType=jobacct_gather/cgroup\n')
    write('11/root/etc/site/cgroup.conf', CGROUP)
    expect(readSlurmConf('n1', proc)).toEqual({
      path: '/etc/site/slurm.conf',
      processTracking: 'proctrack/cgroup',
      taskPlugins: ['task/affinity', 'task/cgroup'],
      accountGathering: 'jobacct_gather/cgroup',
      cgroupPlugin: 'cgroup/v2',
      constrains: ['RAMSpace', 'Devices'],
    })
    expect(readSlurmConf('n2', proc)).toMatchObject({ processTracking: 'proctrack/pgid' })
  })

  it('knows SLURM_CONF, the usual places and Slurm’s defaults', () => {
    slurmd(10, ['-D'], { environ: 'A=b\0SLURM_CONF=/sc/slurm.conf\0' })
    write('10/root/sc/slurm.conf', 'ClusterName=a\n')
    expect(readSlurmConf('n1', proc)).toEqual({
      path: '/sc/slurm.conf',
      processTracking: 'proctrack/cgroup',
      taskPlugins: [''],
      accountGathering: 'none',
      cgroupPlugin: 'autodetect',
      constrains: [],
    })
    write('10/environ', '')
    write('10/root/run/slurm/conf/slurm.conf', 'ClusterName=b\n')
    expect(readSlurmConf('n1', proc)?.path).toBe('/run/slurm/conf/slurm.conf')
  })

  it('believes no user’s slurmd, and ends where files include each other', () => {
    slurmd(10, ['-f', '/mine.conf'], { uid: 2001 })
    write('10/root/mine.conf', 'ProctrackType=proctrack/none\n')
    expect(readSlurmConf('n1', proc)?.processTracking).not.toBe('proctrack/none')
    slurmd(11, ['-f', '/a.conf'])
    write('11/root/a.conf', 'ClusterName=a\ninclude a.conf\n')
    expect(readSlurmConf('n1', proc)?.path).toBe('/a.conf')
  })
})
