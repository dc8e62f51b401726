import { describe, expect, it } from 'vitest'
import {
  isSlurmRootV1,
  isSlurmRootV2,
  parseSlurmV1,
  parseSlurmV2,
} from '../../../src/slurm/cgroup-names.js'

const says = (parsed: ReturnType<typeof parseSlurmV1>) =>
  parsed && [parsed.nodeName, parsed.uid, parsed.jobId ?? parsed.sluid, parsed.stepId, parsed.task]

describe('parseSlurmV1', () => {
  it.each([
    ['/slurm_n1/uid_2001/job_7/step_0/task_3', ['n1', 2001, 7, '0', 3]],
    ['/slurm/uid_0/job_4294967293/step_batch', [undefined, 0, 4294967293, 'batch', undefined]],
    ['/slurm/uid_1/job_7/step_batch/task_0', [undefined, 1, 7, 'batch', 0]],
    ['/slurm/uid_1/job_7/step_extern/task_0', [undefined, 1, 7, 'extern', 0]],
    ['/slurm/uid_1/job_7/step_interactive/task_0', [undefined, 1, 7, 'interactive', 0]],
    ['/slurm/uid_1/job_7/step_0+1/task_0', [undefined, 1, 7, '0+1', 0]],
    ['/slurm_a_b-c.d/uid_1/job_7', ['a_b-c.d', 1, 7, undefined, undefined]],
    ['/slurm/uid_1/job_7/step_0/task_3/hepwrap-x', [undefined, 1, 7, '0', 3]],
    ['/slurm/uid_1/job_7/step_0/other/task_3', [undefined, 1, 7, '0', undefined]],
    ['/slurm/uid_1/job_7/nostep/task_3', [undefined, 1, 7, undefined, undefined]],
  ])('%s', (path, expected) => {
    expect(says(parseSlurmV1(path))).toEqual(expected)
  })

  it.each([
    '/',
    '/slurm',
    '/slurm/system',
    '/slurm_n1/uid_2001',
    '/slurm_n1/uid_2001/job_0',
    '/slurm_n1/uid_2001/job_007',
    '/slurm_n1/uid_2001/job_-1',
    '/slurm_n1/uid_2001/job_4294967294',
    '/slurm_n1/uid_2001/job_7x',
    '/slurm_n1/uid_x/job_7',
    '/slurm_n1/uid_01/job_7',
    '/slurmx/uid_2001/job_7',
    '/slurm_/uid_2001/job_7',
    '//slurm/uid_2001/job_7',
    'slurm/uid_2001/job_7',
    '/user.slice/user-2001.slice/user@2001.service/slurm/uid_2001/job_7/step_0',
    '/docker/abc/slurm/uid_2001/job_7/step_0',
    '/../slurm/uid_2001/job_7',
  ])('%s names no job', (path) => {
    expect(parseSlurmV1(path)).toBeUndefined()
  })

  it('lists what must be Slurm’s own', () => {
    expect(parseSlurmV1('/slurm_n1/uid_5/job_7/step_0/task_3/x')).toMatchObject({
      ofSlurm: ['/slurm_n1', '/slurm_n1/uid_5', '/slurm_n1/uid_5/job_7'],
      ofStep: ['/slurm_n1/uid_5/job_7/step_0', '/slurm_n1/uid_5/job_7/step_0/task_3'],
    })
  })
})

describe('parseSlurmV2', () => {
  it.each([
    [
      '/system.slice/lab_slurmstepd.scope/job_12/step_0/user/task_0',
      ['lab', undefined, 12, '0', 0],
    ],
    [
      '/system.slice/slurmstepd.scope/job_12/step_batch/user/task_0',
      [undefined, undefined, 12, 'batch', 0],
    ],
    [
      '/system.slice/slurmstepd.scope/job_12/step_extern/user/task_special',
      [undefined, undefined, 12, 'extern', undefined],
    ],
    [
      '/system.slice/slurmstepd.scope/job_12/step_0/slurm',
      [undefined, undefined, 12, '0', undefined],
    ],
    [
      '/a.slice/a-b.slice/n_1_slurmstepd.scope/job_12/step_1+2/user/task_9',
      ['n_1', undefined, 12, '1+2', 9],
    ],
    ['/slurmstepd.scope/job_12', [undefined, undefined, 12, undefined, undefined]],
    [
      '/system.slice/slurmstepd.scope/sEKNKTV3WPV500/step_0/user/task_1',
      [undefined, undefined, 'sEKNKTV3WPV500', '0', 1],
    ],
    [
      '/system.slice/slurmstepd.scope/job_12/step_0/user/task_0/hepwrap-x',
      [undefined, undefined, 12, '0', 0],
    ],
    [
      '/system.slice/slurmstepd.scope/job_12/step_0/slurm/task_0',
      [undefined, undefined, 12, '0', undefined],
    ],
  ])('%s', (path, expected) => {
    expect(says(parseSlurmV2(path))).toEqual(expected)
  })

  it.each([
    '/',
    '/system.slice/slurmd.service',
    '/system.slice/slurmstepd.scope',
    '/system.slice/slurmstepd.scope/system',
    '/system.slice/slurmstepd.scope/job_',
    '/system.slice/slurmstepd.scope/sEKNKTV3WPV50', // 12 digits
    '/system.slice/slurmstepd.scope/sEKNKTV3WPV5OO', // O is no digit of Crockford's
    '/system.slice/slurmstepd.scope/seknktv3wpv500',
    '/system.slice/slurmstepd.scope/SEKNKTV3WPV500',
    '/system.slice/slurmstepd.scope/sGKNKTV3WPV500', // 65 bits
    '/system.slice/slurmstepd.scope/s0000000000000', // of a controller that gave none: any job's
    '/system.slice/slurmstepd.scope/job_sEKNKTV3WPV500',
    '/system.slice/job_12/step_0/user/task_0',
    '/system.slice/slurmstepd.scope.d/job_12/step_0/user/task_0',
    '/system.slice/slurmstepd.slice/job_12/step_0/user/task_0',
    '/system.slice/slurmd.service/slurmstepd.scope/job_12/step_0/user/task_0',
    '/system.slice/slurmstepd.scope/system/job_12/step_0/user/task_0',
    '/docker/abc/system.slice/slurmstepd.scope/job_12/step_0/user/task_0',
    '/system.slice/xslurmstepd.scope/job_12/step_0',
    '/system.slice/_slurmstepd.scope/job_12/step_0',
    '/user.slice/user-1000.slice/user@1000.service/slurmstepd.scope/job_12/step_0/user/task_0',
    '/user.slice/user-1000.slice/user@1000.service/app.slice/slurmstepd.scope/job_12/step_0',
    '/user.slice/user-1000.slice/session-1.scope/slurmstepd.scope/job_12',
    '/user.slice/user-1000.slice/user@1000.service/slurmstepd.scope/sEKNKTV3WPV500/step_0/user/task_0',
    '/user.slice/user-1000.slice/user@1000.service/system.slice/slurmstepd.scope/job_7/step_0',
    '/../system.slice/slurmstepd.scope/job_12',
  ])('%s names no job', (path) => {
    expect(parseSlurmV2(path)).toBeUndefined()
  })

  it('lists what must be Slurm’s own, from the root downward', () => {
    expect(parseSlurmV2('/a.slice/a-b.slice/slurmstepd.scope/job_1/step_0/user/task_2/x')).toEqual(
      expect.objectContaining({
        ofSlurm: [
          '/a.slice',
          '/a.slice/a-b.slice',
          '/a.slice/a-b.slice/slurmstepd.scope',
          '/a.slice/a-b.slice/slurmstepd.scope/job_1',
        ],
        ofStep: [
          '/a.slice/a-b.slice/slurmstepd.scope/job_1/step_0',
          '/a.slice/a-b.slice/slurmstepd.scope/job_1/step_0/user',
          '/a.slice/a-b.slice/slurmstepd.scope/job_1/step_0/user/task_2',
        ],
      }),
    )
  })

  it.each([
    ['step_0/user/task_0', true],
    ['step_0/user/task_0/hepwrap-x', true],
    ['step_extern/user/task_special', true],
    ['step_0/user', false],
    ['step_0/slurm', false],
    ['step_0/slurm/task_0', false],
    ['step_0/other/task_0', false],
    ['step_0', false],
    ['other/user/task_0', false],
    ['user/task_0', false],
  ])('has tasks in %s: %s', (below, isForTasks) => {
    for (const job of ['job_12', 'sEKNKTV3WPV500'])
      expect(parseSlurmV2(`/system.slice/slurmstepd.scope/${job}/${below}`)).toMatchObject({
        isForTasks,
      })
  })
})

it('knows Slurm’s roots', () => {
  expect(['slurm', 'slurm_n1', 'slurmx', 'xslurm', 'slurm_'].map(isSlurmRootV1)).toEqual([
    true,
    true,
    false,
    false,
    false,
  ])
  expect(
    ['slurmstepd.scope', 'n1_slurmstepd.scope', 'xslurmstepd.scope', 'slurmstepd.scope.d'].map(
      isSlurmRootV2,
    ),
  ).toEqual([true, true, false, false])
})
