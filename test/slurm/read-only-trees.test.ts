// What is mounted read-only is so with all that is mounted below it: a user who may write to a file system of the node's gets
// no way to it by mounting what is above.
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startDaemon, stopDaemons } from '../world/daemon.js'
import { leftovers, nothing } from '../world/traces.js'
import { as, expectSuccess } from '../world/world.js'
import { complaint, hepwrapRun } from './job-runs.js'

const BELOW = ['/srv/tree/raw', '/srv/tree/raw/deep', '/srv/site/sub']

beforeAll(async () => {
  for (const path of BELOW) {
    mkdirSync(path, { recursive: true })
    const mount = ['mount', '-t', 'tmpfs', '-o', 'mode=1777,nosuid,nodev,noexec,noatime', 'x', path]
    expectSuccess(await as('root').run(mount))
  }
  await startDaemon({
    config: {
      images: { allow: ['debian:test'] },
      mounts: { always: ['/srv/site:/site:ro'], read_only: ['/srv/tree/raw'] },
    },
  })
})
afterAll(async () => {
  await stopDaemons()
  expect(await leftovers()).toEqual(nothing)
  for (const path of BELOW.toReversed()) expectSuccess(await as('root').run(['umount', path]))
  rmSync('/srv/tree', { recursive: true })
  rmSync('/srv/site', { recursive: true })
})

const touch = (...paths: string[]) => ['debian:test', 'touch', ...paths]

describe('a mount of ours is read-only with all below it', () => {
  it('of what is above a path that must be read-only', async () => {
    const result = await hepwrapRun('alice', [
      ...['-v', '/srv/tree:/x:ro'],
      ...touch('/x/top', '/x/raw/new', '/x/raw/deep/new'),
    ])
    expect(result.stderr.match(/Read-only file system/g)).toHaveLength(3)
    expect(existsSync('/srv/tree/raw/new')).toBe(false)
  })

  it('of the working directory that may be read-only alone', async () => {
    const result = await hepwrapRun('alice', touch('new', 'deep/new'), { cwd: '/srv/tree/raw' })
    expect(result.stderr.match(/Read-only file system/g)).toHaveLength(2)
  })

  it('of the site’s own', async () => {
    const result = await hepwrapRun('alice', touch('/site/sub/new'))
    expect(result.stderr).toContain('Read-only file system')
  })

  it('and what is mounted there keeps what else the node says of it', async () => {
    const args = ['-v', '/srv/tree:/x:ro', 'debian:test', 'grep', ' /x/raw', '/proc/self/mountinfo']
    const { stdout } = expectSuccess(await hepwrapRun('alice', args))
    const options = stdout
      .trim()
      .split('\n')
      .map((line) => line.split(' ')[5])
    expect(options).toEqual(Array.from({ length: 2 }, () => 'ro,nosuid,nodev,noexec,noatime'))
  })
})

describe('on the node, and for others, nothing has changed', () => {
  it('the file systems can be written', async () => {
    await hepwrapRun('alice', ['-v', '/srv/tree:/x:ro', 'debian:test', 'true'])
    expectSuccess(await as('alice').run(['touch', '/srv/tree/raw/own', '/srv/site/sub/own']))
  })

  it('a mount that is not read-only has what is below it as it is', async () => {
    const run = ['-v', '/srv/site:/x', 'debian:test', 'touch', '/x/sub/written']
    const result = await hepwrapRun('bob', run)
    expect(complaint(result)).toBe('')
    expect(existsSync('/srv/site/sub/written')).toBe(true)
  })
})
