import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { readHardLimits } from '../../../src/proc/rlimits.js'

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

it('reads hard limits under docker’s names', () => {
  expect([...(readHardLimits(7, procRoot) ?? [])]).toEqual([
    ['cpu', -1],
    ['core', -1],
    ['nofile', 1048576],
    ['memlock', 8388608],
    ['nice', 0],
    ['rtprio', 0],
    ['rttime', -1],
  ])
})

it('knows all fifteen of a real process, and none of one that is gone', () => {
  expect(readHardLimits(process.pid)?.size).toBe(15)
  expect(readHardLimits(8, procRoot)).toBeUndefined()
})
