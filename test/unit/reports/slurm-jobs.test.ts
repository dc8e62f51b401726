// What `sacct --json` writes: of Slurm 22.05 as a real slurmdbd gave it, and the shapes of later versions.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parseSacct } from '../../../src/reports/slurm-jobs.js'

const fixture = (name: string) =>
  readFileSync(join(import.meta.dirname, `fixtures/sacct-${name}.json`), 'utf8')
const parse = (value: unknown) => parseSacct(JSON.stringify(value))

describe.each(['22.05', '23.11'])('of Slurm %s', (version) => {
  const jobs = parseSacct(fixture(version)) ?? []

  it('jobs have owner, state and steps', () => {
    const shown = jobs.map(({ id, cluster, user, account, isEnded, steps }) => ({
      ...{ id, cluster, user, account, isEnded },
      steps: steps.map((step) => `${step.id} ${step.name} ${step.isEnded ? 'ended' : 'open'}`),
    }))
    const owner = { cluster: 'hepp', user: 'alice', account: 'atlas' }
    expect(shown).toEqual([
      { id: 1, ...owner, isEnded: true, steps: ['extern extern ended', '0 bash ended'] },
      {
        id: 2,
        ...owner,
        isEnded: true,
        steps: ['batch batch ended', 'extern extern ended', '0 true ended'],
      },
      { id: 4, ...owner, isEnded: false, steps: ['batch batch open', 'extern extern open'] },
      { id: 5, ...owner, isEnded: true, steps: ['batch batch ended', 'extern extern ended'] },
    ])
  })

  it('steps have usage, limits and times', () => {
    const step = jobs[0]?.steps[1]
    expect(step).toEqual({
      id: '0',
      name: 'bash',
      isEnded: true,
      cpuUsec: 232_843,
      memoryLimitBytes: 200 * 1024 ** 2,
      maxRssBytes: 106_496,
      tasks: 1,
      exitStatus: 0,
      startMs: Date.parse('2026-11-20T16:28:46Z'),
      endMs: Date.parse('2026-11-20T16:28:48Z'),
    })
    // 22.05 writes SUCCESS for a batch script that ended with 3.
    expect(jobs[1]?.steps[0]).toMatchObject({
      id: 'batch',
      exitStatus: version === '22.05' ? 0 : 3,
    })
    expect(jobs[2]?.steps[0]).toMatchObject({ endMs: undefined })
  })
})

describe('of any version', () => {
  const step = (fields: object) => parse({ jobs: [{ job_id: 1, steps: [fields] }] })?.[0]?.steps[0]

  it.each([
    [{ id: 0 }, '0'],
    [{ id: '7.0' }, '0'],
    [{ id: '7_1.batch' }, 'batch'],
    [{ id: '7.0+1' }, '0'],
    [{ id: 0, het: { component: 1 } }, '0'],
    [{ id: { set: true, infinite: false, number: 4 } }, '4'],
    [{ id: { job_id: 7, step_id: 'extern' } }, 'extern'],
    [{ id: { step_id: { set: true, infinite: false, number: 3 } } }, '3'],
  ])('the step %j is %s', (written, id) => {
    expect(step({ step: written })?.id).toBe(id)
  })

  it('what is not said is not known, never 0', () => {
    expect(step({ step: { id: 0 } })).toEqual({
      id: '0',
      name: undefined,
      isEnded: false,
      cpuUsec: undefined,
      memoryLimitBytes: undefined,
      maxRssBytes: undefined,
      tasks: undefined,
      exitStatus: undefined,
      startMs: undefined,
      endMs: undefined,
    })
    const unset = { set: false, infinite: false, number: 0 }
    const endless = { set: true, infinite: true, number: 0 }
    const odd = step({
      step: { id: 0 },
      state: ['COMPLETED'],
      time: { total: { seconds: unset }, start: endless, end: -1 },
      tres: { allocated: [{ type: 'mem', count: endless }, null, 7], requested: 'x' },
      tasks: { count: '1' },
    })
    expect(odd).toMatchObject({
      isEnded: true,
      cpuUsec: undefined,
      startMs: undefined,
      endMs: undefined,
      memoryLimitBytes: undefined,
      tasks: undefined,
    })
  })

  it('user and system are the total where there is none', () => {
    const time = { user: { seconds: 1, microseconds: 5 }, system: { seconds: 2, microseconds: 0 } }
    expect(step({ step: { id: 0 }, time })?.cpuUsec).toBe(3_000_005)
  })

  it.each(['PENDING', 'RUNNING', 'SUSPENDED', 'COMPLETING', 'REQUEUED'])('%s is no end', (word) => {
    const jobs = parse({ jobs: [{ job_id: 1, state: { current: ['COMPLETED', word] } }] })
    expect(jobs?.[0]?.isEnded).toBe(false)
  })

  it('owners are found in the association, too', () => {
    const association = { cluster: 'c', user: 'u', account: 'a' }
    expect(parse({ jobs: [{ job_id: 1, user: '', association }] })).toMatchObject([
      { cluster: 'c', user: 'u', account: 'a' },
    ])
  })

  it('jobs and steps without an id are left out', () => {
    const jobs = parse({ jobs: [null, 5, {}, { job_id: 'x' }, { job_id: 2, steps: [{}, null] }] })
    expect(jobs).toMatchObject([{ id: 2, steps: [] }])
  })

  it.each(['', 'sacct: error: …', '[]', '{}', '{"jobs":{}}', 'null', '{"jobs":['])(
    '%j is no answer of sacct',
    (text) => {
      expect(parseSacct(text)).toBeUndefined()
    },
  )
})
