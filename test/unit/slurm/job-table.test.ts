import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parseJobId, type JobId } from '../../../src/base/ids.js'
import { createJobTable } from '../../../src/slurm/job-table.js'

const id = (number: number) => parseJobId(String(number)) as JobId

describe('the job table', () => {
  let base: string
  let directory: string
  beforeEach(() => {
    base = mkdtempSync(join(tmpdir(), 'hepwrap-table-'))
    directory = join(base, 'jobs')
  })
  afterEach(() => {
    rmSync(base, { recursive: true })
  })

  it('knows announced jobs, also after a restart', () => {
    const facts = { job_id: 7, user: 'alice', sluid: 'sEKNKTV3WPV500' }
    createJobTable(directory).announce(facts)
    const table = createJobTable(directory)
    expect(table.find(id(7))).toEqual(facts)
    expect(table.findBySluid('sEKNKTV3WPV500')).toEqual(facts)
    expect(table.find(id(8))).toBeUndefined()
    expect(table.hasEnded(id(7))).toBe(false)
    expect(statSync(directory).mode & 0o777).toBe(0o700)
    expect(statSync(join(directory, '7.json')).mode & 0o777).toBe(0o600)
  })

  it('remembers ended jobs, announced or not, until they are announced again', () => {
    const table = createJobTable(directory)
    table.announce({ job_id: 7, sluid: 's' })
    for (let time = 0; time < 2; time += 1)
      // an epilog may be tried again
      expect(table.end(id(7))).toEqual({ job_id: 7, sluid: 's' })
    expect(table.end(id(9))).toEqual({ job_id: 9 })
    for (const each of [table, createJobTable(directory)]) {
      expect(each.find(id(7))).toBeUndefined()
      expect(each.findBySluid('s')).toBeUndefined()
      expect([7, 8, 9].map((number) => each.hasEnded(id(number)))).toEqual([true, false, true])
    }
    table.announce({ job_id: 7, restart_count: 1 })
    expect(table.hasEnded(id(7))).toBe(false)
    expect(createJobTable(directory).find(id(7))).toEqual({ job_id: 7, restart_count: 1 })
  })

  it('finds only the SLUID of a requeued job’s present life', () => {
    const table = createJobTable(directory)
    table.announce({ job_id: 7, sluid: 'sEKNKTV3WPV500' })
    table.announce({ job_id: 7, sluid: 'sEKNKTV3WPV501' })
    expect(table.findBySluid('sEKNKTV3WPV500')).toBeUndefined()
    expect(table.findBySluid('sEKNKTV3WPV501')).toMatchObject({ job_id: 7 })
  })

  it('knows nothing of a job that is forgotten', () => {
    const table = createJobTable(directory)
    table.announce({ job_id: 7 })
    table.end(id(7))
    table.forget(id(7))
    table.forget(id(8))
    for (const each of [table, createJobTable(directory)]) {
      expect([each.hasEnded(id(7)), each.find(id(7))]).toEqual([false, undefined])
    }
  })

  it('leaves out torn and alien files with a word, and removes half-written ones', () => {
    const table = createJobTable(directory)
    table.announce({ job_id: 1 })
    writeFileSync(join(directory, '2.json'), '{"facts":{"job_')
    writeFileSync(
      join(directory, '3.json'),
      JSON.stringify({ facts: { job_id: 4 }, announcedAtMs: 1 }),
    )
    writeFileSync(join(directory, '5.json'), '[]')
    writeFileSync(join(directory, 'README'), '')
    writeFileSync(join(directory, '.6.0123456789abcdef'), '{')
    symlinkSync('/etc/passwd', join(directory, '8.json'))
    const warnings: string[] = []
    const again = createJobTable(directory, { warn: (message) => warnings.push(message) })
    expect(again.list().map(({ facts }) => facts.job_id)).toEqual([1])
    expect(warnings).toHaveLength(5)
    expect(readdirSync(directory)).not.toContain('.6.0123456789abcdef')
  })

  it('forgets the oldest of very many ended jobs', () => {
    let nowMs = 0
    const clock = { nowMs: () => (nowMs += 1), monotonicMs: () => nowMs }
    const table = createJobTable(directory, { clock })
    for (let number = 1; number <= 1030; number += 1) table.end(id(number))
    expect(table.hasEnded(id(6))).toBe(false)
    expect(table.hasEnded(id(7))).toBe(true)
    expect(readdirSync(directory)).toHaveLength(1024)
  })

  it('does not use a directory in which others may write, or a symbolic link to one', () => {
    createJobTable(directory)
    chmodSync(directory, 0o770)
    expect(() => createJobTable(directory)).toThrow(
      expect.objectContaining({ code: 'HW_CONFIG_INVALID' }),
    )
    symlinkSync(base, join(base, 'link'))
    expect(() => createJobTable(join(base, 'link'))).toThrow(/link/)
  })
})
