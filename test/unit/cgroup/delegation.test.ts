// Which cgroups are asked to hand on io and pids: Slurm's, above the caller's leaf, and nothing else.
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { enable, enableAbove } from '../../../src/cgroup/delegation.js'
import { makeFakeTree, type FakeTree } from './fake-tree.js'

let tree: FakeTree
beforeEach(() => (tree = makeFakeTree()))
afterEach(() => tree.remove())

const LEAF = 'system.slice/n1_slurmstepd.scope/job_7/step_0/user/task_0'

function make(leaf: string, controllers: string, enabled = '') {
  const names = leaf.split('/')
  names.forEach((_, index) => {
    const directory = names.slice(0, index + 1).join('/')
    tree.write({
      [`${directory}/cgroup.controllers`]: `${controllers}\n`,
      [`${directory}/cgroup.subtree_control`]: `${enabled}\n`,
    })
  })
  mkdirSync(join(tree.base, leaf), { recursive: true })
}
// An ordinary file keeps what was written last, over what was there.
const enabled = (directory: string) =>
  readFileSync(join(tree.base, directory, 'cgroup.subtree_control'), 'utf8').trim()

it('from Slurm’s scope down to the directory above the leaf', () => {
  make(LEAF, 'cpuset cpu io memory pids')
  enableAbove(join(tree.base, LEAF))
  const names = LEAF.split('/')
  expect(names.map((_, depth) => enabled(names.slice(0, depth + 1).join('/')))).toEqual([
    '', // system.slice is systemd's
    ...['+pids', '+pids', '+pids', '+pids'],
    '', // the leaf gives what a run asks for
  ])
})

it('nothing where it is enabled already, or cannot be had', () => {
  make(LEAF, 'cpuset cpu memory', 'cpuset cpu memory')
  enableAbove(join(tree.base, LEAF))
  expect(enabled('system.slice/n1_slurmstepd.scope')).toBe('cpuset cpu memory')
  make(LEAF, 'cpuset cpu io memory pids', 'cpuset cpu io memory pids')
  enableAbove(join(tree.base, LEAF))
  expect(enabled('system.slice/n1_slurmstepd.scope/job_7')).toBe('cpuset cpu io memory pids')
})

it('nothing outside of Slurm’s tree', () => {
  make('user.slice/user-5.slice/session-1.scope', 'io pids')
  enableAbove(join(tree.base, 'user.slice/user-5.slice/session-1.scope'))
  expect(enabled('user.slice/user-5.slice')).toBe('')
})

it('says whether the children have it', () => {
  make('a', 'cpu pids', 'cpu')
  const directory = join(tree.base, 'a')
  expect(['cpu', 'pids', 'io'].map((controller) => enable(directory, controller))).toEqual([
    true,
    true,
    false,
  ])
  expect(enable('/nowhere', 'pids')).toBe(false)
})
