import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { readRlimits } from '../../../src/proc/rlimits.js'

// As Linux 6.1 writes it.
const TEXT = `Limit                     Soft Limit           Hard Limit           Units     
Max cpu time              unlimited            unlimited            seconds   
Max core file size        0                    unlimited            bytes     
Max open files            1024                 1048576              files     
Max locked memory         8388608              8388608              bytes     
Max address space         unlimited            unlimited            bytes     
Max nice priority         0                    0                    
Max realtime priority     0                    0                    
Max realtime timeout      unlimited            unlimited            us        
`
const procRoot = mkdtempSync(join(tmpdir(), 'hepwrap-proc-'))
mkdirSync(join(procRoot, '7'))
writeFileSync(join(procRoot, '7', 'limits'), TEXT)
afterAll(() => rmSync(procRoot, { recursive: true }))

it('reads soft and hard limits under docker’s names', () => {
  expect([...(readRlimits(7, procRoot) ?? [])]).toEqual([
    ['cpu', { soft: -1, hard: -1 }],
    ['core', { soft: 0, hard: -1 }],
    ['nofile', { soft: 1024, hard: 1048576 }],
    ['memlock', { soft: 8388608, hard: 8388608 }],
    ['nice', { soft: 0, hard: 0 }],
    ['rtprio', { soft: 0, hard: 0 }],
    ['rttime', { soft: -1, hard: -1 }],
  ])
})

it('knows all fifteen of a real process, and none of one that is gone', () => {
  expect(readRlimits(process.pid)?.size).toBe(15)
  expect(readRlimits(8, procRoot)).toBeUndefined()
})
