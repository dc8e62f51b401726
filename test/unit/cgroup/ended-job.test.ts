// What recovery removes of a job on cgroup v2 that ended while there was no daemon. Ordinary directories: rmdir(2) is the same.
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { removeEndedJob } from '../../../src/cgroup/remove.js'
import { makeFakeTree, type FakeTree } from './fake-tree.js'

let tree: FakeTree
beforeEach(() => (tree = makeFakeTree()))
afterEach(() => tree.remove())

const JOB = 'system.slice/n1_slurmstepd.scope/job_7'
const RUN = `hepwrap-${'0123456789abcdef'.repeat(2)}`

/** The fake kernel's file keeps its directory, so that the job's own stays. */
async function remove(leaf: string, events: string, populated: number): Promise<void> {
  mkdirSync(join(tree.base, leaf), { recursive: true })
  tree.write({ [`${events}/cgroup.events`]: `populated ${populated}\nfrozen 0\n` })
  const path = join(tree.base, leaf, RUN)
  await removeEndedJob({
    version: 2,
    directories: [{ controller: 'cgroup2', path, own: true }],
  })
}
const exists = (path: string) => existsSync(join(tree.base, path))

it('the job’s tree, once nothing lives in it', async () => {
  const leaf = `${JOB}/step_0/user/task_0`
  await remove(leaf, JOB, 1)
  expect(exists(leaf)).toBe(true)
  await remove(leaf, JOB, 0)
  expect(exists(`${JOB}/step_0`)).toBe(false)
})

it('nothing outside of Slurm’s tree', async () => {
  const leaf = 'user.slice/session-1.scope'
  await remove(leaf, 'user.slice', 0)
  expect(exists(leaf)).toBe(true)
})
