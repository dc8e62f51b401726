// The record as it is opened: what is not known is null, and what users write is kept so that it can be shown.
import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { JobId, RunId, StepId } from '../../../src/base/ids.js'
import type { CgroupMembership } from '../../../src/proc/cgroup-of.js'
import {
  commandText,
  draftRecord,
  usageFields,
  type DraftFacts,
} from '../../../src/run/run-record.js'
import type { RunRequest } from '../../../src/wire/run-api.js'
import { RECORD_FIELDS } from '../../../src/wire/record-fields.js'
import { someCaller } from './fakes.js'

describe('a command’s text', () => {
  it.each([
    [[], ''],
    [['ls', '-l', '/tmp/a_b.c'], 'ls -l /tmp/a_b.c'],
    [['sh', '-c', 'echo $HOME'], "sh -c 'echo $HOME'"],
    [['echo', ''], "echo ''"],
    [["it's"], "'it'\\''s'"],
    [['a=b', 'user@host:1,2', '50%', '+x'], 'a=b user@host:1,2 50% +x'],
    [['für'], "'für'"],
    [['~', '!', '*'], "'~' '!' '*'"],
    [['a\0b'], "'a\uFFFDb'"],
  ])('%j', (words, text) => expect(commandText(words)).toBe(text))

  it('is what a shell reads back', () => {
    const word = fc
      .string({ unit: 'binary', maxLength: 12 })
      .filter((text) => !/[\0\ud800-\udfff]/.test(text))
    fc.assert(
      fc.property(fc.array(word, { minLength: 1, maxLength: 4 }), (words) => {
        const script = `printf '%s\\0' ${commandText(words)}`
        expect(execFileSync('/bin/sh', ['-c', script]).toString()).toBe(
          words.map((one) => `${one}\0`).join(''),
        )
      }),
      { numRuns: 25 },
    )
  })

  it('is cut, however long or many the words', () => {
    expect(commandText(['x'.repeat(1_000_000)])).toHaveLength(4096)
    expect(commandText(Array.from({ length: 65_536 }, () => "'"))).toHaveLength(256 * 7 - 1)
    expect(commandText(Array.from({ length: 65_536 }, () => "'".repeat(1000))).length).toBe(4096)
  })
})

const draft = (fields: Partial<DraftFacts> = {}): DraftFacts => ({
  runId: 'a'.repeat(32) as RunId,
  cluster: 'hepp',
  node: 'n1',
  caller: someCaller({ gid: 3000 }),
  userName: undefined,
  groupName: undefined,
  job: undefined,
  jobFacts: undefined,
  jobLimits: { memoryBytes: undefined, cpus: undefined },
  request: undefined,
  createdAtMs: Date.UTC(2026, 0, 31, 12),
  ...fields,
})

const cgroup: CgroupMembership = { v1: new Map(), v2: '/x' }

describe('a draft', () => {
  it('of a request that nobody could read has who, where and when, and null for the rest', () => {
    const record = draftRecord(draft())
    expect(Object.keys(record).sort()).toEqual([...RECORD_FIELDS].sort())
    expect(Object.entries(record).filter(([, value]) => value !== null && value !== '')).toEqual(
      expect.arrayContaining([
        ['id', 'a'.repeat(32)],
        ['cluster', 'hepp'],
        ['node', 'n1'],
        ['uid', 2001],
        ['gid', 3000],
        ['state', 'RUNNING'],
        ['created_at', '2026-01-31T12:00:00.000Z'],
      ]),
    )
    expect(Object.values(record)).not.toContain(undefined)
  })

  it('takes the job from the cgroup, and what a cgroup cannot tell from the prolog', () => {
    const job = { jobId: 42 as JobId, sluid: undefined, stepId: 'batch' as StepId, task: 0, cgroup }
    const jobFacts = {
      job_id: 42,
      account: 'physics',
      partition: 'main',
      array_job_id: 40,
      array_task_id: 0,
      restart_count: 0,
      gres: 'gpu:1',
    }
    expect(draftRecord(draft({ job, jobFacts }))).toMatchObject({
      job_id: 42,
      step_id: 'batch',
      task: 0,
      account: 'physics',
      partition: 'main',
      array_job_id: 40,
      array_task_id: 0,
      restart_count: 0,
      het_offset: null,
      gres: 'gpu:1',
    })
    const bySluid = { ...job, jobId: undefined, sluid: 's1' }
    expect(draftRecord(draft({ job: bySluid, jobFacts })).job_id).toBe(42)
  })

  it('prefers the limits that were asked for to the job’s', () => {
    const jobLimits = { memoryBytes: 100, cpus: 4 }
    expect(draftRecord(draft({ jobLimits }))).toMatchObject({ memory_limit_bytes: 100, cpus: 4 })
    const request = { memory_bytes: 50, cpus: 0.5 } as RunRequest
    expect(draftRecord(draft({ jobLimits, request }))).toMatchObject({
      memory_limit_bytes: 50,
      cpus: 0.5,
    })
  })

  it('keeps no more of a hostile request than can be stored and shown', () => {
    const request = {
      image: 'x\0'.repeat(1000),
      entrypoint: '/bin/e',
      command: ['a'],
      name: 'n\0'.repeat(500),
      labels: {},
    } as unknown as RunRequest
    const record = draftRecord(draft({ request }))
    expect(record.image).toHaveLength(1024)
    expect(record.name).toHaveLength(255)
    expect(`${record.image}${record.name ?? ''}`).not.toContain('\0')
    expect(record.command).toBe('/bin/e a')
    expect(record.labels).toBeNull()
  })
})

describe('counters', () => {
  it('that are not known are null, and zero stays zero', () => {
    const unknown = Object.values(usageFields(undefined))
    expect(new Set(unknown)).toEqual(new Set([null]))
    const usage = {
      cpuUserUsec: 0,
      cpuSystemUsec: 5,
      memoryPeakBytes: undefined,
      ioReadBytes: undefined,
      ioWriteBytes: 0,
      pidsPeak: 1,
      oomKills: undefined,
    }
    expect(usageFields(usage)).toEqual({
      cpu_user_usec: 0,
      cpu_system_usec: 5,
      memory_peak_bytes: null,
      io_read_bytes: null,
      io_write_bytes: 0,
      pids_peak: 1,
      oom_kills: null,
    })
    expect(unknown).toHaveLength(7)
  })
})
