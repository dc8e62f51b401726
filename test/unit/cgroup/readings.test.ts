import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { countCpus, readJobLimits } from '../../../src/cgroup/limits.js'
import type { Placement } from '../../../src/cgroup/placement.js'
import { ioV2, readUsage } from '../../../src/cgroup/usage.js'

let base: string
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'hepwrap-cgroup-'))
})
afterEach(() => {
  rmSync(base, { recursive: true })
})
const files = (texts: Readonly<Record<string, string>>) => {
  for (const [path, text] of Object.entries(texts)) {
    mkdirSync(dirname(join(base, path)), { recursive: true })
    writeFileSync(join(base, path), text)
  }
}

describe('readUsage on v1', () => {
  const usage = () => {
    const own = (controller: string) => ({ controller, path: join(base, controller), own: true })
    const directories = [own('memory'), own('cpuacct,cpu'), own('pids'), own('blkio')]
    return readUsage({ version: 1, directories } satisfies Placement)
  }

  it('reads the counters of Linux 6.18', () => {
    files({
      'cpuacct,cpu/cpuacct.usage': '3500000000\n',
      'cpuacct,cpu/cpuacct.usage_user': '3000000000\n',
      'cpuacct,cpu/cpuacct.usage_sys': '1000000000\n',
      'memory/memory.max_usage_in_bytes': '104857600\n',
      'memory/memory.oom_control': 'oom_kill_disable 0\nunder_oom 0\noom_kill 2\n',
      'blkio/blkio.throttle.io_service_bytes_recursive':
        '254:0 Read 4096\n254:0 Write 8192\n254:0 Sync 0\n254:0 Async 12288\n254:0 Discard 0\n254:0 Total 12288\n254:16 Read 1\n254:16 Write 0\n254:16 Total 1\nTotal 12289\n',
      'blkio/blkio.throttle.io_service_bytes': 'Total 0\n',
      'pids/pids.peak': '12\n',
    })
    expect(usage()).toEqual({
      cpuUserUsec: 2_625_000,
      cpuSystemUsec: 875_000,
      memoryPeakBytes: 104857600,
      ioReadBytes: 4097,
      ioWriteBytes: 8192,
      pidsPeak: 12,
      oomKills: 2,
    })
  })

  it('reads those of older kernels, and does not make zeros of what they lack', () => {
    files({
      'cpuacct,cpu/cpuacct.usage': '3000000000\n',
      'cpuacct,cpu/cpuacct.stat': 'user 200\nsystem 100\n',
      'memory/memory.oom_control': 'oom_kill_disable 0\nunder_oom 0\n',
      'blkio.throttle.io_service_bytes': '254:0 Read 77\n254:0 Write 0\n254:0 Total 77\nTotal 77\n',
      'blkio/blkio.throttle.io_service_bytes': 'Total 0\n',
    })
    expect(usage()).toEqual({
      cpuUserUsec: 2_000_000,
      cpuSystemUsec: 1_000_000,
      memoryPeakBytes: undefined,
      ioReadBytes: 0,
      ioWriteBytes: 0,
      pidsPeak: undefined,
      oomKills: undefined,
    })
  })

  it('knows no io where the kernel counts none: Linux 6.10 and later, until somebody sets a throttle', () => {
    files({
      'blkio.throttle.io_service_bytes': 'Total 0\n',
      'blkio/blkio.throttle.io_service_bytes_recursive': 'Total 0\n',
    })
    expect(usage()).toMatchObject({ ioReadBytes: undefined, ioWriteBytes: undefined })
  })

  it('knows nothing without files', () => {
    expect(new Set(Object.values(usage()))).toEqual(new Set([undefined]))
  })
})

describe('readUsage on v2', () => {
  const usage = () =>
    readUsage({
      version: 2,
      directories: [{ controller: 'cgroup2', path: join(base, 'task_0/x'), own: true }],
    })

  it('reads what a threaded cgroup counts itself, and takes nothing of the leaf for its own', () => {
    files({
      'task_0/x/cpu.stat': 'usage_usec 300\nuser_usec 200\nsystem_usec 100\nnr_periods 0\n',
      'task_0/x/pids.peak': '12\n',
      'task_0/memory.peak': '4096\n',
      'task_0/io.stat': '254:0 rbytes=4096 wbytes=1\n',
      'task_0/memory.events.local': 'low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\noom_group_kill 0\n',
    })
    expect(usage()).toEqual({
      cpuUserUsec: 200,
      cpuSystemUsec: 100,
      memoryPeakBytes: undefined,
      ioReadBytes: undefined,
      ioWriteBytes: undefined,
      pidsPeak: 12,
      oomKills: undefined,
    })
  })

  it('adds up devices', () => {
    expect(
      ioV2('254:0 rbytes=4096 wbytes=1 rios=1 wios=0 dbytes=9 dios=0\n7:0 \n8:0 rbytes=4 wbytes=0'),
    ).toEqual({ readBytes: 4100, writeBytes: 1 })
    expect(ioV2('')).toEqual({ readBytes: 0, writeBytes: 0 })
    expect(ioV2(undefined)).toBeUndefined()
  })
})

describe('readJobLimits', () => {
  const root = (name: string) => ({ mountPoint: join(base, name), root: '/' })

  it('takes the tightest memory limit above the caller, and his effective CPUs, on v1', () => {
    files({
      'memory/memory.limit_in_bytes': '9223372036854771712\n',
      'memory/job/memory.limit_in_bytes': '209715200\n',
      'memory/job/step/memory.limit_in_bytes': '104857600\n',
      'memory/job/step/task/memory.limit_in_bytes': '9223372036854771712\n',
      'cpuset/job/cpuset.effective_cpus': '0-1,4\n',
      'cpuset/job/cpuset.cpus': '0-7\n',
    })
    const roots = {
      v1: new Map([
        ['memory', root('memory')],
        ['cpuset', root('cpuset')],
      ]),
      v2: undefined,
    }
    const v1 = new Map([
      ['memory', '/job/step/task'],
      ['cpuset', '/job'],
    ])
    expect(readJobLimits({ v1, v2: undefined }, roots)).toEqual({ memoryBytes: 104857600, cpus: 3 })
  })

  it('does so on v2, where the leaf itself has no cpuset', () => {
    files({
      'u/job/memory.max': '209715200\n',
      'u/job/user/memory.max': 'max\n',
      'u/job/user/memory.high': '104857600\n',
      'u/job/user/cpuset.cpus.effective': '2\n',
      'u/job/user/task_0/cpu.stat': '',
    })
    const roots = { v1: new Map(), v2: root('u') }
    expect(readJobLimits({ v1: new Map(), v2: '/job/user/task_0' }, roots)).toEqual({
      memoryBytes: 104857600,
      cpus: 1,
    })
  })

  it('knows no limit where there is none', () => {
    expect(readJobLimits({ v1: new Map(), v2: '/' }, { v1: new Map(), v2: undefined })).toEqual({
      memoryBytes: undefined,
      cpus: undefined,
    })
  })
})

it.each([
  ['0', 1],
  ['0-3,8,10-11', 7],
  ['', undefined],
  ['x', undefined],
  ['1-', undefined],
])('counts the CPUs of %j', (list, count) => {
  expect(countCpus(list)).toBe(count)
})
