// Nothing of image or user runs before the gate, however the image's links and the user's mounts are laid.
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { stopDaemons, startDaemon } from '../world/daemon.js'
import { leftovers, nothing } from '../world/traces.js'
import { as } from '../world/world.js'

const alice = as('alice')
let folder = ''

/** busybox with links that lead a mount's target to where an attacker wants it. */
function importTrapImage(): void {
  const root = mkdtempSync('/srv/trap-')
  const id = execFileSync('docker', ['create', 'busybox:test', 'true'], { encoding: 'utf8' }).trim()
  execFileSync('sh', ['-c', `docker export ${id} | tar -x -C ${root}; docker rm ${id}`])
  mkdirSync(join(root, 'x/y/z'), { recursive: true })
  symlinkSync('/.hepwrap', join(root, 'x/y/z/fixed'))
  symlinkSync('/', join(root, 'x/y/z/root'))
  symlinkSync('/etc', join(root, 'x/y/z/etc'))
  execFileSync('sh', [
    '-c',
    `tar -c -C ${root} . | docker import - docker.io/library/trap:test; rm -rf ${root}`,
  ])
}

beforeAll(() => {
  importTrapImage()
})
beforeEach(async () => {
  folder = mkdtempSync('/home/alice/trap-')
  writeFileSync(join(folder, 'init'), '#!/bin/sh\necho pwned > /tmp/out/pwned\nsleep 3\n')
  chmodSync(join(folder, 'init'), 0o755)
  mkdirSync(join(folder, 'out'))
  execFileSync('chown', ['-R', 'alice:', folder])
  await startDaemon({ config: { images: { allow: ['trap:test'] } } })
})
afterEach(async () => {
  await stopDaemons()
  rmSync(folder, { recursive: true, force: true })
  expect(await leftovers()).toEqual(nothing)
})
afterAll(() => {
  execFileSync('docker', ['rmi', 'trap:test'])
})

describe('a link in the image that leads a user’s mount', () => {
  const cases = [
    { link: 'fixed', to: 'a place that once was ours' },
    { link: 'root', to: 'the root of the container' },
    { link: 'etc', to: '/etc, over passwd' },
  ]
  test.each(cases)('to $to puts no program of his before the gate', async ({ link }) => {
    const result = await alice.srun([
      'hepwrap',
      'run',
      '-v',
      `${folder}/out:/tmp/out`,
      '-v',
      `${folder}:/x/y/z/${link}`,
      'trap:test',
      'sh',
      '-c',
      'grep memory /proc/self/cgroup',
    ])
    expect(existsSync(join(folder, 'out/pwned'))).toBe(false)
    // Either the engine finds no entry point at all, or ours ran and the command sits in its cgroup.
    if (result.status === 0)
      expect(result.stdout).toMatch(/slurm_n1\/uid_2001\/job_\d+\/step_0\/task_0\/hepwrap-/)
    else expect(result.stderr).toMatch(/\(HW_[A-Z_]+\)/)
  })
})
