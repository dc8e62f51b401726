// /proc/cpuinfo as kernels write it: sockets, cores and threads where it says them, and nothing made up where it does not.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { readProcessors } from '../../../src/proc/processors.js'

function read(cpuinfo: string) {
  const root = mkdtempSync(join(tmpdir(), 'hepwrap-proc-'))
  onTestFinished(() => rmSync(root, { recursive: true }))
  writeFileSync(join(root, 'cpuinfo'), cpuinfo)
  return readProcessors(root)
}

const x86 = (processor: number, socket: number, core: number) =>
  `processor\t: ${processor}\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R)  Gold 6130 CPU @ 2.10GHz\n` +
  `physical id\t: ${socket}\nsiblings\t: 4\ncore id\t\t: ${core}\nflags\t\t: fpu vme: de\n\n`

describe('processors', () => {
  it('of two sockets with two cores of two threads each', () => {
    const all = [0, 1].flatMap((thread) =>
      [0, 1].flatMap((socket) =>
        [0, 1].map((core) => x86(thread * 4 + socket * 2 + core, socket, core)),
      ),
    )
    expect(read(all.join(''))).toEqual({
      model: 'Intel(R) Xeon(R) Gold 6130 CPU @ 2.10GHz',
      sockets: 2,
      cores: 4,
      threads: 8,
    })
  })

  it('of ARM, which names neither model nor core', () => {
    const arm = 'processor\t: 0\nBogoMIPS\t: 243.75\n\nprocessor\t: 1\nBogoMIPS\t: 243.75\n\n'
    expect(read(`${arm}CPU implementer\t: 0x41\n`)).toEqual({
      model: undefined,
      sockets: undefined,
      cores: undefined,
      threads: 2,
    })
  })

  it('of this machine', () => {
    expect(readProcessors().threads).toBeGreaterThan(0)
  })
})
