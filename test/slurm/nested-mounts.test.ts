// Mounts inside of mounts: on what is there, by whatever lies between, and with flags of their own.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startDaemon, stopDaemons } from '../world/daemon.js'
import { leftovers, nothing } from '../world/traces.js'
import { complaint, hepwrapRun } from './job-runs.js'

let home = ''
beforeAll(async () => {
  await startDaemon()
  home = mkdtempSync('/home/alice/nested-')
  const make =
    'mkdir -p a/b b/c c d/empty; touch a/file; echo one >a/in-a; echo two >b/in-b; echo three >c/in-c'
  execFileSync('sh', ['-c', `cd ${home}; ${make}; chown -R alice: .`])
})
afterAll(async () => {
  rmSync(home, { recursive: true, force: true })
  expect(await leftovers()).toEqual(nothing)
  await stopDaemons()
})

const sh = (options: string[], script: string) =>
  hepwrapRun('alice', [...options, 'busybox:test', 'sh', '-c', script])

it('three deep, in any order', async () => {
  const options = ['-v', `${home}/c:/x/b/c`, '-v', `${home}/a:/x`, '-v', `${home}/b:/x/b`]
  const { stdout, stderr } = await sh(options, 'cat /x/in-a /x/b/in-b /x/b/c/in-c')
  expect({ stdout, stderr }).toEqual({ stdout: 'one\ntwo\nthree\n', stderr: '' })
})

it('in HOME, which is mounted without being asked for', async () => {
  const { stdout } = await sh(['-v', `${home}/a:${home}/d/empty`], `cat ${home}/d/empty/in-a`)
  expect(stdout).toBe('one\n')
  expect(readdirSync(`${home}/d/empty`)).toEqual([])
})

it('a file on a file, and a directory on none', async () => {
  const file = await sh(['-v', `${home}/a:/x`, '-v', `${home}/c/in-c:/x/file`], 'cat /x/file')
  expect(file.stdout).toBe('three\n')
  const mixed = await sh(['-v', `${home}/a:/x`, '-v', `${home}/c:/x/file`], 'true')
  expect(complaint(mixed)).toMatch(/"\/x\/file".* is not a directory \(HW_MOUNT_TARGET\)/)
})

it('read-only as each is asked for', async () => {
  const options = ['-v', `${home}/a:/x:ro`, '-v', `${home}/b:/x/b`]
  const { stdout } = await sh(options, 'touch /x/y 2>&1; touch /x/b/y && echo written; rm /x/b/y')
  expect(stdout).toMatch(/Read-only file system\nwritten\n$/)
})

it('a tmpfs, which leaves no trace', async () => {
  const options = ['-v', `${home}/a:/x`, '--tmpfs', '/x/b:size=1m']
  const { stdout } = await sh(options, 'df -k /x/b | tail -1; touch /x/b/y; ls /x/b')
  expect(stdout).toMatch(/tmpfs +1024 [^]*\ny\n$/)
  expect(readdirSync(`${home}/a/b`)).toEqual([])
})

it('not on what is not there: nobody makes it as root', async () => {
  const refused = await sh(['-v', `${home}/a:/x`, '-v', `${home}/b:/x/made`], 'true')
  expect(complaint(refused)).toMatch(/"\/x\/made".*make it first \(HW_MOUNT_TARGET\)/)
  expect(readdirSync(`${home}/a`).sort()).toEqual(['b', 'file', 'in-a'])
})
