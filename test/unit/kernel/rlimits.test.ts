import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { afterEach, expect, test } from 'vitest'
import { copyLimits } from '../../../src/kernel/rlimits.js'

const children: ChildProcess[] = []
afterEach(() => children.splice(0).forEach((child) => child.kill('SIGKILL')))

async function withLimits(commands: string): Promise<number> {
  const child = spawn('sh', ['-c', `${commands}; echo ready; exec sleep 60`])
  children.push(child)
  await once(child.stdout, 'data')
  return child.pid!
}

const limitsOf = (pid: number) => readFileSync(`/proc/${pid}/limits`, 'utf8')
const line = (pid: number, title: string) =>
  limitsOf(pid)
    .split('\n')
    .find((text) => text.startsWith(title))
    ?.slice(title.length)
    .trim()
    .split(/ +/)
    .slice(0, 2)

test('every limit of one process becomes the other’s', async () => {
  const from = await withLimits(
    'ulimit -c 0; ulimit -Hn 512; ulimit -Sn 128; ulimit -f 1000; ulimit -v 5000000',
  )
  const to = await withLimits(':')
  expect(copyLimits(from, to, new Set())).toBe(true)
  expect(limitsOf(to)).toBe(limitsOf(from))
})

test('but those that are left out', async () => {
  const from = await withLimits('ulimit -n 512; ulimit -c 0')
  const to = await withLimits('ulimit -n 100')
  copyLimits(from, to, new Set(['nofile']))
  expect(line(to, 'Max open files')).toEqual(['100', '100'])
  expect(line(to, 'Max core file size')).toEqual(['0', '0'])
})

test('a process that is gone is no error', async () => {
  const pid = await withLimits(':')
  const gone = spawn('true')
  await once(gone, 'exit')
  expect(copyLimits(pid, gone.pid!, new Set())).toBe(false)
  expect(copyLimits(gone.pid!, pid, new Set())).toBe(false)
})
