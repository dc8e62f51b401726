// A user who wants more privilege than his shell has: capabilities, set-user-ID programs, the kernel's own files.
import { afterAll, beforeAll, expect } from 'vitest'
import { hepwrapRun } from '../slurm/job-runs.js'
import { startDaemon, stopDaemons } from '../world/daemon.js'
import { leftovers, nothing } from '../world/traces.js'
import { attack } from './attack.js'

beforeAll(async () => {
  await startDaemon()
})
afterAll(async () => {
  expect(await leftovers()).toEqual(nothing)
  await stopDaemons()
})

attack(
  'P01',
  'Sarus, Shifter',
  'a set-user-ID root program of the image gains nothing',
  async () => {
    const { stdout } = await hepwrapRun('alice', ['setuid:test', '/bin/privileges'])
    expect(stdout).toMatch(/2001/)
  },
)
