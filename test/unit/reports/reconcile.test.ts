// Containers against Slurm, by hand-made totals: each disagreement is found, and agreement is not.
import { describe, expect, it } from 'vitest'
import { createTotals } from '../../../src/reports/container-totals.js'
import { reconcile } from '../../../src/reports/reconcile.js'
import type { SlurmJob, SlurmStep } from '../../../src/reports/slurm-jobs.js'
import type { UsageRecord } from '../../../src/wire/usage-api.js'
import { someRecord } from '../cli/support/some-record.js'

const HOUR_USEC = 3.6e9
const period = {
  sinceMs: Date.parse('2026-01-31T00:00:00Z'),
  untilMs: Date.parse('2026-02-01T00:00:00Z'),
  settledMs: Date.parse('2026-02-01T00:00:00Z'),
}

const step: SlurmStep = {
  id: '0',
  name: 'hepwrap',
  isEnded: true,
  cpuUsec: 100_000_000,
  memoryLimitBytes: 2 * 1024 ** 3,
  maxRssBytes: 1024,
  tasks: 1,
  exitStatus: 0,
  startMs: Date.parse('2026-01-31T12:00:00Z'),
  endMs: Date.parse('2026-01-31T12:02:00Z'),
}
const job: SlurmJob = {
  cluster: 'hepp',
  id: 42,
  user: 'alice',
  account: 'atlas',
  isEnded: true,
  startMs: step.startMs,
  steps: [step],
}

function compare(
  records: readonly UsageRecord[],
  jobs: readonly SlurmJob[],
  tolerance = 0.05,
  settledMs = period.settledMs,
) {
  const totals = createTotals()
  for (const record of records) totals.add(record)
  return reconcile(totals, jobs, { tolerance, ...period, settledMs })
}
const kinds = (...args: Parameters<typeof compare>) =>
  compare(...args).findings.map(({ kind }) => kind)
const withStep = (change: Partial<SlurmStep>): SlurmJob => ({
  ...job,
  steps: [{ ...step, ...change }],
})
const record = (change: Partial<UsageRecord>): UsageRecord => ({ ...someRecord, ...change })

describe('agreement', () => {
  it('is a container that used less than its step', () => {
    expect(compare([someRecord], [job])).toEqual({
      findings: [],
      comparedJobs: 1,
      comparedSteps: 1,
      containers: 1,
      outsideJobs: 0,
      purgedSteps: 0,
    })
  })

  it('is within the tolerance, and within what Slurm rounds: two seconds a task', () => {
    expect(kinds([someRecord], [withStep({ cpuUsec: 86_000_000 })])).toEqual([])
    expect(
      kinds([record({ cpu_user_usec: 1_900_000, cpu_system_usec: 0 })], [withStep({ cpuUsec: 0 })]),
    ).toEqual([])
  })

  it('is what Slurm rounds of each of many tasks', () => {
    const tasks = Array.from({ length: 10 }, (_, task) =>
      record({ id: String(task), task, cpu_user_usec: 1_900_000, cpu_system_usec: 0 }),
    )
    expect(kinds(tasks, [withStep({ tasks: 10, cpuUsec: 0 })])).toEqual([])
    expect(kinds(tasks, [withStep({ tasks: 9, cpuUsec: 0 })])).toEqual(['cpu-above-step'])
  })

  it('is a step that goes on, of which Slurm knows no usage yet', () => {
    const open = { ...withStep({ isEnded: false, cpuUsec: 0, endMs: undefined }), isEnded: false }
    expect(kinds([record({ state: 'RUNNING', ended_at: null })], [open])).toEqual([])
  })

  it('is a refusal', () => {
    expect(kinds([record({ state: 'REFUSED', started_at: null })], [job])).toEqual([])
  })

  it('knows a step of a het job by either name', () => {
    expect(kinds([record({ step_id: '0+1' })], [job])).toEqual([])
  })

  it('adds up the times that a requeued job ran', () => {
    const twice = [withStep({ cpuUsec: 50_000_000 }), withStep({ cpuUsec: 50_000_000 })]
    expect(kinds([someRecord, record({ id: 'b', cpu_user_usec: 1 })], twice)).toEqual([])
  })

  it('counts what cannot be compared', () => {
    const none = record({ job_id: null, step_id: null })
    const purged = { ...job, steps: [] }
    expect(compare([none, someRecord], [purged])).toMatchObject({
      findings: [],
      outsideJobs: 1,
      purgedSteps: 1,
      comparedSteps: 0,
    })
  })
})

describe('disagreement', () => {
  it('more CPU time than the step: summed over its containers', () => {
    const two = [someRecord, record({ id: 'b' })]
    expect(compare(two, [withStep({ tasks: 2 })]).findings).toEqual([
      {
        kind: 'cpu-above-step',
        cluster: 'hepp',
        jobId: 42,
        stepId: '0',
        user: 'alice',
        account: 'atlas',
        nodes: ['n1'],
        containers: 2,
        hepwrap: 180_000_000,
        slurm: 100_000_000,
      },
    ])
    expect(kinds(two, [withStep({ tasks: 2 })], 0.8)).toEqual([])
  })

  it('more memory than the step was given', () => {
    const peak = 3 * 1024 ** 3
    expect(compare([record({ memory_peak_bytes: peak })], [job]).findings).toMatchObject([
      { kind: 'memory-above-step', hepwrap: peak, slurm: 2 * 1024 ** 3 },
    ])
    expect(
      kinds([record({ memory_peak_bytes: peak })], [withStep({ memoryLimitBytes: undefined })]),
    ).toEqual([])
  })

  it('a job that Slurm never saw, also of another cluster', () => {
    expect(kinds([someRecord], [])).toEqual(['unknown-job'])
    expect(kinds([someRecord], [{ ...job, cluster: 'other', steps: [] }])).toEqual(['unknown-job'])
  })

  it('a step that Slurm never saw', () => {
    expect(kinds([record({ step_id: '7' })], [withStep({ name: 'bash' })])).toEqual([
      'unknown-step',
    ])
  })

  it('another user or account, worse than all else', () => {
    const forged = record({ user: 'bob', account: 'cms', cpu_user_usec: HOUR_USEC })
    expect(compare([forged], [job]).findings).toMatchObject([
      { kind: 'other-user', hepwrap: 'bob', slurm: 'alice' },
      { kind: 'other-account', hepwrap: 'cms', slurm: 'atlas' },
      { kind: 'cpu-above-step' },
    ])
  })

  it('an unknown account of a record is no other account', () => {
    expect(kinds([record({ account: null })], [job])).toEqual([])
  })

  it('a record that was never closed', () => {
    const open = record({ state: 'RUNNING', ended_at: null })
    expect(compare([open], [job]).findings).toMatchObject([
      { kind: 'open-record', hepwrap: open.id, slurm: 'ended' },
    ])
    expect(kinds([open], [{ ...job, steps: [] }])).toEqual(['open-record'])
  })

  it('a step that ran hepwrap, with fewer records than tasks', () => {
    expect(compare([], [job]).findings).toMatchObject([
      { kind: 'missing-record', jobId: 42, stepId: '0', user: 'alice', hepwrap: 0, slurm: 1 },
    ])
    expect(kinds([someRecord], [withStep({ tasks: 2 })])).toEqual(['missing-record'])
  })

  it('but not of a step that ended just now: its records are on their way', () => {
    const justNow = (step.endMs ?? 0) - 1
    expect(kinds([], [job], 0, justNow)).toEqual([])
    expect(kinds([record({ state: 'RUNNING', ended_at: null })], [job], 0, justNow)).toEqual([])
  })

  it.each([
    ['that ran something else', { name: 'bash' }],
    ['that was turned away', { exitStatus: 125 }],
    ['that goes on', { isEnded: false }],
    ['that began before the period', { startMs: period.sinceMs - 1 }],
    ['that ended after it', { endMs: period.untilMs + 1 }],
  ])('but not of a step %s', (_, change) => {
    expect(kinds([], [withStep(change)])).toEqual([])
  })
})
